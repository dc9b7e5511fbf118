import BenchmarkSupport
import SluiceJournal
import SluiceShared
import Testing

@testable import sluice_differential

/// A seed ends early only where SQLite itself would not do the same twice.
@Suite("Random rowids are told from all others")
struct RandomRowIDTests {
  private let largest = Int64.max

  @Test("After the largest rowid the next is random, also behind a virtual table")
  func taken() throws {
    #expect(
      try taken(
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "INSERT INTO t VALUES (\(largest), 1)",
        "INSERT INTO t(b) VALUES (2)") == "t")
    #expect(
      try taken(
        "CREATE TABLE t(a INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = \(largest)", "ALTER TABLE t RENAME TO u",
        "INSERT INTO u VALUES (NULL)") == "u")
    #expect(
      try taken(
        "CREATE VIRTUAL TABLE r USING rtree(a, b, c)", "INSERT INTO r VALUES (\(largest), 1, 2)",
        "INSERT INTO r VALUES (NULL, 1, 2)") == "r_rowid")
  }

  @Test(
    "No other rowid is",
    arguments: [
      ["INSERT INTO t VALUES (1 << 62)", "INSERT INTO t VALUES (NULL), (NULL)"],
      ["INSERT INTO t VALUES (\(Int64.max))", "INSERT INTO t VALUES (7), (1 << 53), (1e10)"],
      [
        "INSERT INTO t VALUES (\(Int64.max))", "DELETE FROM t WHERE a > 0",
        "INSERT INTO t VALUES (1 << 60), (NULL)",
      ],
      ["INSERT INTO t VALUES (\(Int64.max))", "INSERT INTO other VALUES (1 << 60), (NULL)"],
      ["INSERT INTO counted VALUES (\(Int64.max))", "INSERT INTO counted VALUES (NULL)"],
    ])
  func notTaken(_ statements: [String]) throws {
    let tables = [
      "CREATE TABLE t(a INTEGER PRIMARY KEY)", "CREATE TABLE other(a INTEGER PRIMARY KEY)",
      "CREATE TABLE counted(a INTEGER PRIMARY KEY AUTOINCREMENT)",
    ]
    #expect(try taken(tables + statements) == nil)
  }

  private func taken(_ statements: String...) throws -> String? { try taken(statements) }

  /// In which table one is taken, each statement a batch.
  private func taken(_ statements: [String]) throws -> String? {
    let work = try WorkDirectory(in: WorkDirectory.temporary, prefix: "sluice-differential")
    let plain = try PlainDatabase(
      path: work["plain.sqlite"], pageSize: 4096, foreignKeys: true)
    do {
      for (i, sql) in statements.enumerated() {
        _ = try plain.execute(Batch([.init(sql)]), TxID(rawValue: UInt64(i + 1)))
      }
    } catch let taken as RandomRowIDs.Taken {
      return taken.table
    }
    return nil
  }
}
