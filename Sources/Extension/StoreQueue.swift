internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared
internal import SluiceWriter

/// A store's writer in this process, which all its connections share: made when the first submits, closed when
/// the last that submitted closes.
///
/// It makes no thread: who submits does the flush, and who waits for an outcome looks for it.
final class StoreQueue: Sendable {
  private struct Weak { weak var queue: StoreQueue? }
  private static let open = ProcessLocal<[ExactText: Weak]> { [:] }

  let writer: Writer
  private let forks = forksOfProcess()

  private init(_ root: String) throws(StoreError) { writer = try Self.writer(root) }

  /// A writer that makes no thread.
  static func writer(_ root: String) throws(StoreError) -> Writer {
    var options = Writer.Options()
    options.whenBacklogFull = .wait(atMost: .seconds(30))
    return try Writer(store: root, options: options, environment: .withoutThreads)
  }

  deinit {
    // What a child inherited is its parent's to end.
    if forks == forksOfProcess() { writer.closeBlocking() }
  }

  /// The queue of a connection's store; the connection keeps it.
  static func shared(_ file: SnapshotFile) throws(StoreError) -> StoreQueue {
    if let known = file.companion as? StoreQueue { return known }
    let root = file.store.layout.root
    let key = ExactText(root)
    let found = open.withLock { $0[key]?.queue }
    if let found {
      file.companion = found
      return found
    }
    // Outside of the lock, for it waits for the file server. Of two that come at once one is kept.
    let made = try StoreQueue(root)
    let kept = open.withLock { queues in
      if let known = queues[key]?.queue { return known }
      queues = queues.filter { $0.value.queue != nil }
      queues[key] = Weak(queue: made)
      return made
    }
    file.companion = kept
    return kept
  }
}

extension Environment {
  /// The real thing, in a process whose threads are others'.
  static var withoutThreads: Environment {
    var environment = Environment.posix()
    environment.executor = InlineExecutor(startsThreads: false)
    return environment
  }
}
