internal import SluiceJournal
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared

/// Executes the commits of a history again, one after the other, each on the recorded state before it, to see
/// what it does to rows. Of an interactive transaction, which has no statements, it compares the two states
/// (`RowComparison`).
///
/// So it can begin with any commit whose state before is kept, and nothing is copied. Each batch's outcome must
/// be the recorded one: of a commit that comes to something else no rows are told, and those behind it are, since
/// each begins with what is recorded. Where SQLite makes the recorded pages, its connection goes on with them; where it
/// makes other pages of the same content, the next commit is executed on a connection opened anew, on the
/// recorded ones.
final class RowExecution {
  private let log: Log
  private let settings: Session.Settings
  private let reading: RowReading
  private let defaults = ColumnDefaults()
  let comparison: RowComparison
  private let environment: Environment
  /// The recorded state behind the last commit; nil: to be looked up.
  private(set) var base: Snapshot?
  /// Where the commit behind it is.
  private var baseSegment: UInt64 = 0
  /// No checkpoint is older, and none will be.
  private var oldest: TxID?
  private var session: Session?
  private var term: UInt64?
  private var lastOwner: UInt32 = 0

  /// What is known of the last commit that was executed.
  struct Executed {
    var last: TxID
    var first: TxID
    /// By the batch's index; of batches that were not applied nothing.
    var rows: [Int: ChangedRows] = [:]
    /// Why rows of none of its batches are told; `rows` may be what differs from the record then.
    var untold: String?
  }

  private(set) var executed: Executed?
  private static let attempts = 5
  /// In what the commit that is executed differs from its record.
  private var difference: StoreError?
  /// What it did where its rows are others than the record's.
  private var differing: [Int: ChangedRows] = [:]

  /// Throws `.unsupported` where this SQLite has no preupdate hook.
  convenience init(_ layout: StoreLayout, _ environment: Environment) throws(StoreError) {
    let description = try StoreDescription.read(layout, environment.fileSystem)
    let extensions = try StoreExtensions.open(description, in: layout, environment)
    try self.init(
      Log(of: StoreHandle(layout: layout, id: description.id, environment: environment)),
      foreignKeys: description.foreignKeys, extensions, environment)
  }

  init(
    _ log: Log, foreignKeys: Bool, _ extensions: [LoadableExtension], _ environment: Environment
  ) throws(StoreError) {
    guard RowHook.isAvailable else {
      throw StoreError(
        .unsupported,
        "this SQLite was built without SQLITE_ENABLE_PREUPDATE_HOOK, so that it cannot tell which rows a batch changes; run with one that has it, as Debian's has"
      )
    }
    do throws(SQLiteError) { reading = try RowReading() } catch {
      throw StoreError(.io, "SQLite cannot be asked how it tells rows: \(error)")
    }
    comparison = RowComparison(reading, defaults, extensions, environment)
    self.log = log
    settings = Session.Settings(replayingIn: log.store.id, foreignKeys: foreignKeys, extensions)
    self.environment = environment
  }

  /// Executes a commit, unless it was the last one.
  func execute(_ commit: Commit, _ cursor: inout LogCursor) throws(StoreError) {
    guard executed?.last != commit.last else { return }
    guard let before = try base(before: commit, in: cursor.segment.number) else {
      executed = Executed(
        last: commit.last, first: commit.first,
        untold: "the state of the database before this batch is not kept")
      return
    }
    let replayed = try ReplayedCommit(commit, &cursor)
    let entries = try cursor.pages(of: commit.header)
    let behind = before.adding(
      entries: entries, in: cursor.segment, meta: commit.meta, extent: commit.extent)
    let states = StatePair(before, behind, entries)
    comparison.pass(states)
    if try replayed.commitsPages(&cursor) {
      session = nil
      executed = try compared(states, commit)
      base = behind
      return
    }
    // An applier's connection begins with its term.
    if term != cursor.segment.header.term { session = nil }
    term = cursor.segment.header.term
    let request = try replayed.request(&cursor) { (writer) throws(StoreError) in
      try owner(writer, before, behind)
    }
    difference = nil
    differing = [:]
    do throws(StoreError) {
      let collector = try collect(
        replayed, request, (entries, cursor.segment), (before, behind))
      executed = Executed(last: commit.last, first: commit.first, rows: collector.batches)
    } catch {
      session = nil
      guard let difference else {
        base = nil
        throw error
      }
      executed = Executed(
        last: commit.last, first: commit.first, rows: differing, untold: difference.message)
    }
    base = behind
  }

  /// An interactive transaction: one batch.
  private func compared(_ states: StatePair, _ commit: Commit) throws(StoreError) -> Executed {
    var executed = Executed(last: commit.last, first: commit.first)
    do throws(StatePair.Failure) { executed.rows[0] = try comparison.rows(states) } catch {
      switch error {
      case .store(let failure):
        base = nil
        throw failure
      case .untold(let why):
        executed.untold =
          "the pages of commit \(commit.meta.commit) (batch \(commit.first)) do not say which rows it changed: \(why)"
      }
    }
    return executed
  }

  /// The state before a commit of `segment`; nil where it is not kept.
  private func base(before commit: Commit, in segment: UInt64) throws(StoreError) -> Snapshot? {
    let last = TxID(commit.first.rawValue - 1)
    let known = base?.txid == last ? base : nil
    let isNewSegment = segment != baseSegment
    baseSegment = segment
    if let known, !isNewSegment { return known }
    // Before a new segment it is looked up anew: from a newer checkpoint, so that older ones are let go.
    guard let found = try recorded(last) ?? known else {
      session = nil
      base = nil
      return nil
    }
    if let known, known.checkpointTxID == found.checkpointTxID { return known }
    session = nil
    base = found
    return found
  }

  /// The state behind batch `last`; nil where it is not kept. That one file was gone when it was to be opened
  /// says nothing of that: retention removes, and something newer has come instead.
  private func recorded(_ last: TxID) throws(StoreError) -> Snapshot? {
    if let oldest, last < oldest { return nil }
    for attempt in 1...Self.attempts {
      do throws(StoreError) {
        let found = try Snapshot.recorded(in: log, upTo: log.present(), asOf: .txid(last))
        return found.txid == last ? found : nil
      } catch {
        guard error.isRemoval else { throw error }
      }
      log.forgetFiles()
      oldest = try CheckpointListing(of: log.store).databases.first
      if let oldest, last < oldest { return nil }
      environment.clock.sleep(.milliseconds(10 * attempt))
    }
    return nil
  }

  private func collect(
    _ replayed: ReplayedCommit, _ request: Session.Request,
    _ recorded: (pages: [PageEntry], segment: LogSegment),
    _ states: (before: Snapshot, behind: Snapshot)
  ) throws(StoreError) -> RowCollector {
    for _ in 0..<Self.attempts {
      let session = try current(states.before)
      let collector = RowCollector(
        session, reading, defaults, isApplied: { replayed.isApplied($0) })
      var isSame = false
      let done = try session.commit(request) { [self] (content, _) throws(StoreError) in
        if let difference = replayed.difference(from: content),
          environment.makes(.compareOutcomes)
        {
          throw noted(difference)
        }
        isSame = content.meta.checksum == replayed.meta.checksum
        return recorded
      }
      if let failure = collector.failure { throw failure }
      if session.mustReopen || !isSame { self.session = nil }
      guard done.committed > 0 else { continue }
      if !isSame, environment.makes(.compareRows) {
        differing = collector.batches
        try compare(collector, with: states.behind, replayed)
      }
      return collector
    }
    throw noted(
      replayed.difference("none of its batches is executed again as part of this commit"))
  }

  private func noted(_ difference: StoreError) -> StoreError {
    self.difference = difference
    return difference
  }

  private func current(_ before: Snapshot) throws(StoreError) -> Session {
    if let session { return session }
    let opened = try Session(before, settings, environment)
    session = opened
    return opened
  }

  // MARK: what only the recorded pages say

  /// Throws where rows that this execution has made are others in the record. Equal pages have equal rows;
  /// another SQLite may make other pages of the same rows.
  private func compare(
    _ collector: RowCollector, with behind: Snapshot, _ replayed: ReplayedCommit
  ) throws(StoreError) {
    let rows = ChangedContent(collector.batches, after: collector.schemaChanges.last)
    guard !rows.isEmpty else { return }
    let difference = try DatabaseReader(behind, settings.extensions, environment).reading {
      (connection) throws(SQLiteError) in
      try rows.difference(from: connection, reading, defaults)
    }
    if let difference { throw noted(replayed.difference(difference)) }
  }

  private func owner(_ writer: WriterID, _ before: Snapshot, _ behind: Snapshot)
    throws(StoreError) -> UInt32
  {
    if let known = try current(before).known(writer) {
      lastOwner = known.owner
      return known.owner
    }
    let row = try DatabaseReader(behind, settings.extensions, environment).reading {
      (connection) throws(SQLiteError) in
      try connection.scalar(
        "SELECT owner FROM _sluice_writers WHERE writer = ?", [.blob(writer.blob)])
    }
    // One that this commit forgets again leaves no trace: as likely as not the same user's.
    guard case .integer(let owner)? = row else { return lastOwner }
    lastOwner = UInt32(truncatingIfNeeded: owner)
    return lastOwner
  }
}
