import Foundation
import SluiceApplier
import SluiceJournal
import SluiceSQLite
import SluiceShared
import Testing

private typealias Code = Outcome.Rejection.Code

/// What executes batches has little memory, and the whole schema is in it.
@Suite("No schema becomes too large to be opened")
struct SchemaSizeTests {
  /// A view that takes about 20 MB as it is parsed, and compresses to nothing.
  private func view(_ name: String) -> String {
    "CREATE VIEW \(name) AS SELECT 1 WHERE 1 IN (\(String(repeating: "1,", count: 500_000))1)"
  }

  @Test func whatMakesItTooLargeIsRefused() throws {
    let store = try TestStore()
    for name in ["a", "b", "c"] { #expect(try store.apply(view(name)).isApplied) }
    #expect(try store.apply(view("d")).rejectionCode == Code.resources)
    #expect(try store.apply("CREATE TABLE t(a)", "INSERT INTO t VALUES(1)").isApplied)
    #expect(try store.query("SELECT count(*) FROM sqlite_schema WHERE name = 'd'") == [[0]])
    #expect(try store.apply("DROP VIEW a").isApplied)
    #expect(try store.apply(view("d")).isApplied)
    let summary = try Replay.run(
      RecordedHistory(store: store.path, store.environment), into: "\(store.path)/again.sqlite")
    #expect(summary.batches == 7)
  }

  /// One that an earlier version has let in.
  @Test func whatMakesItSmallerIsNot() throws {
    let store = try TestStore()
    store.environment.omittedChecks = [.boundedSchema]
    for name in ["a", "b", "c", "d", "e"] {
      #expect(try store.apply(view(name)).isApplied)
    }
    store.environment.omittedChecks = []
    #expect(try store.apply("CREATE TABLE t(a)").rejectionCode == Code.resources)
    #expect(try store.apply("DROP VIEW a").isApplied)
    #expect(try store.apply("CREATE TABLE t(a)").rejectionCode == Code.resources)
    #expect(try store.apply("DROP VIEW b").isApplied)
    #expect(try store.apply("CREATE TABLE t(a)").isApplied)
  }

  @Test func noStoreBeginsWithOne() throws {
    let path = NSTemporaryDirectory() + "sluice-schema-\(UUID().uuidString).sqlite"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let database = try Connection(path: path, flags: [.readWrite, .create, .noMutex])
    for name in ["a", "b", "c", "d"] { try database.execute(view(name)) }
    try database.close()
    var creation = StoreCreation()
    creation.source = path
    let error = #expect(throws: StoreError.self) { _ = try TestStore(creation) }
    #expect(error?.message.contains("the schema would take") == true, "\(error as Any)")
  }
}
