import Glibc
import SluiceApplier
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

private typealias Code = Outcome.Rejection.Code

/// Scripts in pieces (`submit --split`) that several users have under way at a time.
@Suite("Of imports in pieces each user answers for its own")
struct SeveralImportsTests {
  let store: TestStore
  private let files: OwningFileSystem
  private static let other: UInt32 = 4242

  init() throws {
    store = try TestStore()
    files = OwningFileSystem(store.environment.fileSystem)
    store.environment.fileSystem = files
    try store.apply(
      "CREATE TABLE p(a INTEGER PRIMARY KEY)", "CREATE TABLE c(k, p REFERENCES p(a))")
  }

  private func piece(_ sql: String, isLast: Bool = false) -> Batch {
    var batch = Batch([Batch.Statement(sql)], foreignKeyCheck: isLast ? .all : .byLaterBatch)
    batch.switches = [SettingSwitch(.foreignKeys, on: false, beforeStatement: 0)]
    return batch
  }

  /// What becomes of a piece that a user submits under a new writer id.
  private func apply(_ batch: Batch, of user: UInt32 = getuid()) throws -> String? {
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(batch)
    files.owners.withLock { owners in
      owners[
        "\(store.layout.journal)/\(StoreLayout.journalName(.init(writer: receipt.batch.writer, number: 1)))"
      ] =
        user
    }
    try store.drain()
    let outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome
    writer.closeBlocking()
    return outcome.rejectionCode
  }

  /// Another user's import adds what it has not resolved, before this one begins and afterwards.
  @Test(arguments: [true, false])
  func anUnfinishedImportOfAnotherIsInNobodysWay(isOwn: Bool) throws {
    if !isOwn { store.environment.omittedChecks = [.ownImport] }
    #expect(try apply(piece("INSERT INTO c VALUES ('theirs', 90)"), of: Self.other) == nil)
    #expect(try apply(piece("INSERT INTO c VALUES ('mine', 1)")) == nil)
    #expect(try apply(piece("INSERT INTO c VALUES ('theirs', 91)"), of: Self.other) == nil)
    let last = try apply(piece("INSERT INTO p VALUES (1)", isLast: true))
    #expect(last == (isOwn ? nil : Code.foreignKey))
    guard isOwn else { return }
    // Nor is what was ended here in the other's way; and each is judged.
    #expect(
      try apply(piece("INSERT INTO p VALUES (90)", isLast: true), of: Self.other)
        == Code.foreignKey)
    #expect(
      try apply(piece("INSERT INTO p VALUES (90), (91)", isLast: true), of: Self.other) == nil)
    #expect(try store.query("SELECT count(*) FROM _sluice_keys") == [[0]])
    // Executed again, it comes to the same.
    _ = try Replay.run(
      RecordedHistory(store: store.path, store.environment), into: "\(store.path)/replayed.sqlite")
  }

  /// What one adds is not excused by what another has under way, also where they violate the same.
  @Test func anotherUsersImportExcusesNothing() throws {
    #expect(try apply(piece("INSERT INTO c VALUES ('mine', 1), ('mine', 2)")) == nil)
    #expect(try apply(piece("INSERT INTO c VALUES ('theirs', 1)"), of: Self.other) == nil)
    #expect(
      try apply(piece("INSERT INTO c VALUES ('theirs', 1)"), of: Self.other) == nil)
    #expect(try apply(piece("INSERT INTO p VALUES (2)", isLast: true)) == Code.foreignKey)
    #expect(try apply(piece("DELETE FROM c WHERE k = 'mine'", isLast: true)) == nil)
    #expect(try apply(piece("SELECT 1", isLast: true), of: Self.other) == Code.foreignKey)
  }
}
