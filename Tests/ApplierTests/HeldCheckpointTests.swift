import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

/// Whatever a checkpoint takes, and wherever it stands still.
@Suite("While a checkpoint is made, batches are committed and published as before")
struct HeldCheckpointTests {
  private struct Held {
    var isOn = false
    /// Operations that stand still.
    var count = 0
  }

  /// An applier whose checkpoints stand still before an operation, while that is wanted.
  private func applying(
    _ action: FileOperation.Action, _ body: (BackedUpStore, Monitor<Held>, Writer) throws -> Void
  ) throws {
    let store = try BackedUpStore()
    // One is due with each commit.
    store.store.options.checkpointBytes = 1
    store.store.options.leaseTime = .seconds(60)
    let held = Monitor(Held())
    let checkpoints = store.store.layout.checkpoints
    let current = store.store.layout.current
    store.store.environment.fileSystem = HookedFileSystem(PosixFileSystem()) { operation in
      guard operation.action == action,
        operation.path.hasPrefix(checkpoints) || operation.path == current,
        held.withLock({
          if $0.isOn { $0.count += 1 }
          return $0.isOn
        })
      else { return .done }
      held.wakeAll()
      held.wait { $0.isOn ? nil : () }
      held.withLock { $0.count -= 1 }
      return .done
    }
    // Whatever fails, the applier comes to its end.
    defer { release(held) }
    try store.applying { writer in
      defer { release(held) }
      try body(store, held, writer)
    }
  }

  private func release(_ held: Monitor<Held>) {
    held.withLock { $0.isOn = false }
    held.wakeAll()
  }

  private func apply(_ n: Int, _ writer: Writer) throws -> TxID {
    let receipt = try writer.submitBlocking(BackedUpStore.row(n))
    let outcome = try writer.outcomeBlocking(
      of: receipt, timeout: .seconds(30 * TestStore.patience))
    #expect(outcome.outcome.isApplied)
    return outcome.txid
  }

  private func newest(_ store: BackedUpStore) throws -> TxID? {
    try StoreLayout.currentTxID(
      store.environment.fileSystem.readSymbolicLink(store.store.layout.current))
  }

  private func until(_ what: String, _ condition: () throws -> Bool) throws {
    let clock = SystemClock()
    let end = clock.elapsed() + .seconds(30 * TestStore.patience)
    while try !condition() {
      try #require(clock.elapsed() < end, "\(what)")
      clock.sleep(.milliseconds(2))
    }
  }

  @Test(
    arguments: [
      .create, .write, .sync, .link, .syncDirectory, .replaceSymbolicLink,
    ] as [FileOperation.Action])
  func standsStill(before action: FileOperation.Action) throws {
    try applying(action) { store, held, writer in
      _ = try apply(1, writer)
      // The term's first one is made, and nothing else of it is under way.
      try until("the first checkpoint") { try newest(store) ?? .zero > .zero }
      held.withLock { $0.isOn = true }
      var n = 1
      try until("a checkpoint stands still") {
        n += 1
        _ = try apply(n, writer)
        return held.withLock { $0.count > 0 }
      }
      let before = try newest(store)
      var last = TxID.zero
      for _ in 0..<20 {
        n += 1
        last = try apply(n, writer)
        #expect(try store.store.present().extent.txid >= last)
      }
      #expect(held.withLock { $0.isOn && $0.count == 1 })
      #expect(try newest(store) == before)
      #expect(try store.store.query("SELECT count(*) FROM t") == [[.integer(Int64(n))]])

      // It goes on where it stood, and so do batches; the next one has what came meanwhile.
      release(held)
      try until("later checkpoints") {
        n += 1
        _ = try apply(n, writer)
        return try newest(store) ?? .zero > last
      }
      #expect(try store.store.query("SELECT count(*) FROM t") == [[.integer(Int64(n))]])
    }
  }
}
