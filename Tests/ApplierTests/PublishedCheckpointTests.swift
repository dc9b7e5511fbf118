import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@Suite("No checkpoint is later than what is published")
struct PublishedCheckpointTests {
  /// What is seen of the applier's files.
  private struct Seen {
    /// The beacon behind the large commit is not written before this is set.
    var isReleased = false
    /// The large commit is in the log.
    var isCommitted = false
    /// Somebody waits for a beacon.
    var isAwaited = false
    /// The checkpoints that got their names while that beacon was held, and what was published then.
    var named: [(checkpoint: TxID, published: TxID)] = []
  }

  /// Tells when work that is not done is waited for.
  private final class Watched: Executor {
    private struct Work: StartedWork {
      let base: any StartedWork
      let seen: Monitor<Seen>

      var isDone: Bool { base.isDone }
      func wait() {
        if !base.isDone {
          seen.withLock { $0.isAwaited = $0.isCommitted }
          seen.wakeAll()
        }
        base.wait()
      }
    }

    private let seen: Monitor<Seen>

    init(_ seen: Monitor<Seen>) { self.seen = seen }

    func start(_ work: @escaping @Sendable () -> Void) -> any StartedWork {
      Work(base: ThreadExecutor.shared.start(work), seen: seen)
    }
    func detach(_ work: @escaping @Sendable () -> Void) { ThreadExecutor.shared.detach(work) }
    func concurrently(_ count: Int, _ body: @Sendable (Int) -> Void) {
      ThreadExecutor.shared.concurrently(count, body)
    }
  }

  private static let largeBytes = 400_000

  /// The large commit's beacon stands still before it is written.
  private func holding(_ store: BackedUpStore, _ seen: Monitor<Seen>) throws {
    let layout = store.store.layout
    let id = try StoreDescription.read(layout, store.environment.fileSystem).id
    store.store.environment.fileSystem = HookedFileSystem { operation in
      switch operation.action {
      case .write where operation.path.hasPrefix(layout.log):
        let isBeacon = [Block.beacons.0, Block.beacons.1].contains(operation.offset)
        if !isBeacon, operation.count > Self.largeBytes / 2 {
          seen.withLock { $0.isCommitted = true }
        } else if isBeacon {
          seen.wait { $0.isCommitted && !$0.isReleased ? nil : () }
        }
      case .link:
        guard operation.path.hasPrefix(layout.checkpoints),
          let name = operation.path.split(separator: "/").last,
          let checkpoint = StoreLayout.checkpointTxID(String(name)),
          let present = try? Log(of: StoreHandle(layout: layout, id: id, environment: .posix()))
            .present()
        else { break }
        seen.withLock { $0.named.append((checkpoint, present.extent.txid)) }
        seen.wakeAll()
      default: break
      }
      return .done
    }
  }

  private func release(_ seen: Monitor<Seen>) {
    seen.withLock { $0.isReleased = true }
    seen.wakeAll()
  }

  /// A commit so large that one is due behind it, and whose beacon is not written yet.
  @Test("While the beacon is on its way, with one due", arguments: [true, false])
  func held(_ isChecked: Bool) throws {
    let store = try BackedUpStore()
    let seen = Monitor(Seen())
    try holding(store, seen)
    store.store.environment.executor = Watched(seen)
    if !isChecked { store.store.environment.omittedChecks = [.publishedCheckpoint] }
    store.store.options.checkpointBytes = 1
    store.store.options.leaseTime = .seconds(600)
    // Whatever fails, the applier comes to its end.
    defer { release(seen) }
    try store.applying { writer in
      defer { release(seen) }
      let receipt = try writer.submitBlocking(
        Batch([.init("INSERT INTO t VALUES(1, randomblob(\(Self.largeBytes)))")]))
      let limit = Duration.seconds(60 * TestStore.patience)
      let early = SystemClock().wait(on: seen, atMost: limit) { seen -> Bool? in
        if isChecked, !seen.isAwaited { return nil }
        let isEarly = seen.named.contains { $0.checkpoint > $0.published }
        return isEarly || isChecked ? isEarly : nil
      }
      #expect(early == !isChecked)
      release(seen)
      let outcome = try writer.outcomeBlocking(of: receipt, timeout: limit)
      #expect(outcome.outcome.isApplied)
      // It was due all the same.
      let made = SystemClock().wait(on: seen, atMost: limit) { seen -> Bool? in
        seen.named.contains { $0.checkpoint == outcome.txid } ? true : nil
      }
      #expect(made == true)
      let named = seen.withLock { $0.named }
      #expect(named.contains { $0.checkpoint > $0.published } == !isChecked, "\(named)")
    }
  }
}
