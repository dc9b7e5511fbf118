internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared
internal import SluiceWriter

/// The writers of a store through which this process's connections commit transactions.
///
/// A turn belongs to a writer, so each connection that writes has one for itself; when that is closed the next
/// one gets it. The writers are closed with the last connection to the store that was opened to write.
final class TransactionWriters: Sendable {
  private struct Weak { weak var writers: TransactionWriters? }
  private static let open = ProcessLocal<[ExactText: Weak]> { [:] }

  private let root: String
  private let idle = Monitor<[Writer]>([])
  private let forks = forksOfProcess()

  private init(_ root: String) { self.root = root }

  deinit {
    // What a child inherited is its parent's to end.
    guard forks == forksOfProcess() else { return }
    for writer in idle.withLock({ $0 }) { writer.closeBlocking() }
  }

  static func shared(_ root: String) -> TransactionWriters {
    open.withLock { known in
      let key = ExactText(root)
      if let writers = known[key]?.writers { return writers }
      known = known.filter { $0.value.writers != nil }
      let made = TransactionWriters(root)
      known[key] = Weak(writers: made)
      return made
    }
  }

  /// A writer for one connection.
  func lend(isAssisted: Bool = false) throws(StoreError) -> LentWriter {
    let assistant = isAssisted ? CommandAssistant(store: root) : nil
    if let writer = idle.withLock({ $0.popLast() }) {
      return LentWriter(writer, of: self, assistant)
    }
    return LentWriter(try StoreQueue.writer(root), of: self, assistant)
  }

  fileprivate func takeBack(_ writer: Writer) {
    // A lock that a child inherited may be held for ever.
    guard forks == forksOfProcess() else { return }
    idle.withLock { $0.append(writer) }
  }
}

/// A connection's writer, until the connection is closed.
final class LentWriter: TransactionClient {
  private let writer: Writer
  private let owner: TransactionWriters
  private let transactions: JournalTransactions

  fileprivate init(
    _ writer: Writer, of owner: TransactionWriters, _ assistant: CommandAssistant?
  ) {
    self.writer = writer
    self.owner = owner
    transactions = JournalTransactions(writer, assistedBy: assistant)
  }

  deinit { owner.takeBack(writer) }

  func requestTurn(keepsWaiting: () -> Bool) throws(StoreError) -> Turn? {
    try transactions.requestTurn(keepsWaiting: keepsWaiting)
  }

  func cancel(_ turn: Turn) { transactions.cancel(turn) }
  func extend(_ turn: Turn) { transactions.extend(turn) }

  func commit(_ pages: PageBatch, of turn: Turn?, timeout: Duration) throws(StoreError)
    -> Commitment
  {
    try transactions.commit(pages, of: turn, timeout: timeout)
  }
}
