import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// A suite about what lies in the journal of a store with one table `t(a)`.
protocol HostileStore {
  var store: TestStore { get }
}

extension HostileStore {
  static func makeStore() throws -> TestStore {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a INTEGER PRIMARY KEY)")
    return store
  }

  func insert(_ n: Int64) -> Batch {
    Batch([Batch.Statement("INSERT INTO t VALUES(?)", [.integer(n)])])
  }

  func path(_ writer: WriterID, _ number: UInt64) -> String {
    "\(store.layout.journal)/\(StoreLayout.journalName(.init(writer: writer, number: number)))"
  }

  func count() throws -> Int64 {
    guard case .integer(let count)? = try store.query("SELECT count(*) FROM t").first?.first else {
      return -1
    }
    return count
  }

  /// Runs an applier until `done`; nothing that it meets may end its term.
  func run(_ environment: Environment? = nil, until done: @escaping () throws -> Bool)
    throws
  {
    var failure: (any Error)?
    var isDone = false
    let patience = ContinuousClock.now + .seconds(900 * TestStore.patience)
    try Applier(
      path: store.path, options: store.options, environment: environment ?? store.environment
    ).run(shouldStop: {
      do { isDone = try done() } catch { failure = error }
      return isDone || failure != nil || ContinuousClock.now > patience
    })
    if let failure { throw failure }
    #expect(isDone)
  }
}
