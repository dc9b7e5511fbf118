import BenchmarkSupport
import Foundation
import SluiceJournal
import SluiceShared
import Testing

@testable import sluice_differential

/// What the differential fuzzer is worth: whatever the queue does otherwise than SQLite, it says so
/// within a few seeds, and without a fault it says nothing.
@Suite("The differential fuzzer finds what is planted")
struct PlantedFaultTests {
  @Test(
    "A check is left out",
    arguments: [
      (SafetyCheck.autocommit, "no such savepoint"),
      (.changeCounter, "SQLite committed without writing page 1"),
      (.connectionAsBefore, "it is not denied"),
    ])
  func omittedCheck(_ check: SafetyCheck, complaint: String) throws {
    var options = SeedOptions()
    options.omittedChecks = [check]
    let found = try difference(options)
    #expect(found?.contains(complaint) == true, "\(found ?? "nothing is found")")
  }

  @Test("A row is lost")
  func lostRow() throws {
    try expect("it is applied otherwise") { batch in
      for i in batch.statements.indices where batch.statements[i].rows.count > 1 {
        batch.statements[i].rows.removeLast()
      }
    }
  }

  /// The outcomes do not tell.
  @Test("A value is another one", arguments: [false, true])
  func otherValue(atTheEndOfLongText: Bool) throws {
    try expect("the databases differ") { batch in
      guard !batch.wantsResults else { return }
      for i in batch.statements.indices {
        batch.statements[i].rows = batch.statements[i].rows.map {
          $0.map { atTheEndOfLongText ? otherEnd($0) : other($0) }
        }
      }
    }
  }

  private func other(_ value: SQLValue) -> SQLValue {
    guard case .blob(var bytes) = value, !bytes.isEmpty else { return value }
    bytes[0] ^= 1
    return .blob(bytes)
  }

  private func otherEnd(_ value: SQLValue) -> SQLValue {
    guard case .text(let text) = value, text.count > 400, let last = text.utf8.last, last < 0x80
    else { return value }
    var bytes = Array(text.utf8)
    bytes[bytes.count - 1] = last == 0x78 ? 0x79 : 0x78
    return .text(String(decoding: bytes, as: UTF8.self))
  }

  @Test("A document is changed otherwise")
  func otherDocument() throws {
    try expect("the databases differ", "it is applied otherwise", "it ends otherwise") { batch in
      for i in batch.statements.indices where batch.statements[i].sql.contains("SET d = json_set(")
      {
        let parts = batch.statements[i].sql.components(separatedBy: "json_set(d, ")
        batch.statements[i].sql = parts.joined(separator: "json_insert(d, ")
      }
    }
  }

  @Test("Results are not given back")
  func lostResults() throws {
    try expect("it is applied otherwise") { $0.wantsResults = false }
  }

  @Test("A guard is not asked")
  func lostGuard() throws {
    // By its statements it may be rejected all the same.
    try expect("it ends otherwise", "for another reason") { $0.guards = [] }
  }

  @Test("A statement gets another error")
  func otherError() throws {
    try expect("its rejection says something else") { batch in
      for i in batch.statements.indices where batch.statements[i].sql.contains("nowhere") {
        batch.statements[i].sql = "INSERT INTO elsewhere VALUES (?)"
      }
    }
  }

  @Test("What is forbidden is done")
  func notDenied() throws {
    let forbidden = [
      "VACUUM INTO", "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "ATTACH",
      "DETACH",
      "PRAGMA journal_mode", "PRAGMA writable_schema", "SELECT * FROM sqlite_stmt",
      "DELETE FROM _sluice", "CREATE TEMP TABLE x", "CREATE TEMP VIEW x",
    ]
    try expect("it is not denied") { batch in
      for i in batch.statements.indices
      where forbidden.contains(where: { batch.statements[i].sql.hasPrefix($0) }) {
        batch.statements[i].sql = "SELECT 1"
      }
    }
  }

  @Test("Nothing is planted")
  func healthy() throws {
    let found = try difference(SeedOptions())
    #expect(found == nil)
  }

  private func expect(_ complaints: String..., plant: @escaping (inout Batch) -> Void) throws {
    var options = SeedOptions()
    options.forQueue = { batch in
      var other = batch
      plant(&other)
      return other
    }
    let found = try difference(options)
    #expect(
      complaints.contains { found?.contains($0) == true }, "\(found ?? "nothing is found")")
  }

  /// The first that is found.
  private func difference(_ options: SeedOptions) throws -> String? {
    var options = options
    options.rounds = 2
    options.batchesPerRound = 250
    for seed in UInt64(1)...40 {
      let work = try WorkDirectory(in: WorkDirectory.temporary, prefix: "sluice-differential")
      do {
        try SeedRun(seed: seed, options: options, directory: work.path).run()
      } catch let difference as Difference {
        return difference.description
      }
    }
    return nil
  }
}
