import SluiceReader
import SluiceSQLite
import Testing

@testable import SluiceApplier

@Suite("Each page that is read keeps the lease")
struct ReadProgressTests {
  /// SQLite calls its progress handler between steps, and one step reads a value of any length. VACUUM
  /// copies a whole row in one.
  @Test func oneStepReadsManyPages() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)", "INSERT INTO t VALUES(randomblob(300000))")
    let pages = try PageStore(path: store.path, environment: store.environment)
    let session = try Session(
      pages.snapshot(.latest), Session.Settings(pages.description, store.options),
      store.environment)
    var calls = 0
    session.onProgress = { calls += 1 }
    try session.connection.execute("SELECT length(a || '') FROM t")
    #expect(calls >= 300_000 / session.snapshot.pageSize)
  }
}
