import SluiceJournal
import SluiceReader
import SluiceShared
import Testing

@testable import SluiceApplier

@Suite("A checkpoint that was made late, behind what is kept, is in nobody's way")
struct LateCheckpointTests {
  private func checkpointing(_ store: TestStore) throws -> Checkpoint {
    Checkpoint(of: try store.handle)
  }

  private func apply(_ batches: ClosedRange<Int>, to store: TestStore) throws {
    for i in batches {
      try store.apply(i == 1 ? "CREATE TABLE t(a)" : "INSERT INTO t VALUES(\(i))")
      let pages = try PageStore(path: store.path, environment: store.environment)
      try checkpointing(store).make(of: pages.published(.latest))
    }
  }

  /// One round, half a minute from now.
  @discardableResult
  private func retire(_ store: TestStore, bytes: Int64) throws -> Retention.Done {
    let checkpoint = try checkpointing(store)
    let log = Log(of: checkpoint.store)
    let present = try log.present()
    var options = store.options
    options.retention.keep = .seconds(3600)
    options.retention.checkpoints = 100
    options.retention.readers = .zero
    options.retention.bytes = bytes
    return try Retention(checkpoint, options, store.environment).run(
      Retention.Occasion(
        now_ms: store.environment.clock.wallTime_ms() + 30_000, published: present.published,
        segment: present.segment.number, isSettled: true))
  }

  private func checkpoints(_ store: TestStore) throws -> [TxID] {
    try store.names(store.layout.checkpoints).compactMap(StoreLayout.checkpointTxID).sorted()
  }

  /// An applier that stood still gives one its name when retention has passed it.
  @Test("Bytes are bounded with it as without")
  func bytes() throws {
    let store = try TestStore()
    let fileSystem = store.environment.fileSystem
    try apply(1...6, to: store)
    let names = [StoreLayout.checkpointName(TxID(2)), StoreLayout.sidecarName(TxID(2))]
    for name in names {
      try fileSystem.link("\(store.layout.checkpoints)/\(name)", to: "\(store.path)/\(name)")
    }
    try retire(store, bytes: 1)
    #expect(try checkpoints(store) == [TxID(5), TxID(6)])
    try apply(7...8, to: store)
    for name in names {
      try fileSystem.link("\(store.path)/\(name)", to: "\(store.layout.checkpoints)/\(name)")
    }
    // The checkpoints alone take less, and with the log it is more.
    let bytes = try store.names(store.layout.checkpoints).reduce(1 as Int64) {
      $0 + (try fileSystem.status("\(store.layout.checkpoints)/\($1)").size)
    }
    #expect(try retire(store, bytes: bytes).base > TxID(2))
    #expect(try !checkpoints(store).contains(TxID(2)))
  }
}
