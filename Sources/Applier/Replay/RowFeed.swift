internal import SluiceJournal
public import SluiceReader
public import SluiceShared

/// The published history batch by batch, as `ChangeFeed` has it, and with it the rows that each batch inserted,
/// updated and deleted.
///
/// The log has pages and batches, and no rows: each commit is executed again on the recorded state before it,
/// with SQLite's preupdate hook. That takes about the time that the batches took, and this process's
/// rights: extensions of the store are loaded. Of an interactive transaction the log has no statements: the states
/// before and behind it are compared. Used by one thread at a time.
public final class RowFeed {
  public struct Entry: Sendable {
    public var batch: ChangeFeed.Entry
    /// In the order in which they were made, of an interactive transaction by tables and rowids, each row once; empty
    /// of a batch that was not applied. nil: not told, and `untold` says why.
    public var changes: [RowChange]?
    /// Why rows are not told: there are too many (`leftOut`), the state before is not kept any more, an interactive
    /// transaction's pages are not as SQLite makes them, SQLite does not tell a value for certain, or the commit, executed
    /// again, comes to something else than the record.
    public var untold: String?
    /// How many rows were changed where these are too many to be told (`Limits.rowChangeBytes`).
    public var leftOut: UInt64?
  }

  private let feed: ChangeFeed
  let execution: RowExecution

  /// From batch `first` on, or from what is kept behind it. Throws as `PageStore` does, and `.unsupported`
  /// where SQLite has no preupdate hook.
  public init(path: String, from first: TxID, environment: Environment = .posix())
    throws(StoreError)
  {
    execution = try RowExecution(StoreLayout(path), environment)
    feed = try ChangeFeed(path: path, from: first, environment: environment)
  }

  /// The last batch that was passed.
  public var txid: TxID { feed.txid }

  /// As `ChangeFeed.advance`.
  public func advance(
    onGap: (ChangeFeed.Gap) throws -> Void = { _ in }, _ body: (Entry) throws -> Void
  ) throws {
    try feed.advance(
      onGap: onGap,
      onCommit: { (commit, cursor) throws(StoreError) in try execution.execute(commit, &cursor) }
    ) { batch in
      var entry = Entry(batch: batch, untold: execution.executed?.untold)
      if let executed = execution.executed, executed.untold == nil {
        let rows = executed.rows[Int(batch.txid.rawValue - executed.first.rawValue)]
        entry.untold = rows?.untold
        entry.leftOut = rows?.leftOut
        entry.changes = entry.untold == nil ? rows?.changes ?? [] : nil
      }
      try body(entry)
    }
  }
}

extension RowFeed {
  /// What a sequence of rows consists of.
  public enum Event: Sendable {
    case batch(Entry)
    /// Batches that are not kept any more, where those that are begin later.
    case gone(ChangeFeed.Gap)
  }

  /// As `ChangeFeed.events`, with the rows that each batch changed.
  ///
  ///     for try await case .batch(let entry) in RowFeed.events(path: path, follows: true) {
  ///       for change in entry.changes ?? [] { … }
  ///     }
  public static func events(
    path: String, from first: TxID = TxID(1), follows: Bool = false,
    environment: Environment = .posix()
  ) -> FeedSequence<Event> {
    FeedSequence(path: path, follows: follows, environment) {
      let feed = try RowFeed(path: path, from: first, environment: environment)
      return .init(
        read: { most in
          try FeedSequence.some(of: most, size: \.byteCount) { add in
            try feed.advance(onGap: { gap in try add(.gone(gap)) }) { entry in
              try add(.batch(entry))
            }
          }
        }, txid: { feed.txid })
    }
  }
}

extension RowFeed.Event {
  /// About the memory that it takes.
  fileprivate var byteCount: Int {
    guard case .batch(let entry) = self else { return 64 }
    let changes = entry.changes ?? []
    return changes.reduce(entry.batch.byteCount) { bytes, change in
      ((change.old ?? []) + (change.new ?? [])).reduce(bytes + 128) { $0 + $1.value.byteCount + 32 }
    }
  }
}
