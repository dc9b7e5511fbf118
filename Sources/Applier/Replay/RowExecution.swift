internal import SluiceJournal
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared

/// Executes the commits of a history again, one after the other, each on the recorded state before it, to see
/// what it does to rows.
///
/// So it can begin with any commit whose state before is kept, and nothing is copied. Each batch's outcome must
/// be the recorded one. Where SQLite makes the recorded pages, its connection goes on with them; where it
/// makes other pages of the same content, the next commit is executed on a connection opened anew, on the
/// recorded ones.
final class RowExecution {
  private let log: Log
  private let settings: Session.Settings
  private let hasRecordOrder: Bool
  private let environment: Environment
  /// The recorded state behind the last commit; nil: to be looked up.
  private var base: Snapshot?
  private var session: Session?
  private var term: UInt64?
  private var lastOwner: UInt32 = 0

  /// What is known of the last commit that was executed.
  struct Executed {
    var last: TxID
    var first: TxID
    /// nil: the state before it is not kept, or no statement of it is known.
    var changes: [Int: [RowChange]]?
    var leftOut: [Int: UInt64]
  }

  private(set) var executed: Executed?
  private static let attempts = 3

  /// Throws `.unsupported` where this SQLite has no preupdate hook.
  init(_ layout: StoreLayout, _ environment: Environment) throws(StoreError) {
    guard RowHook.isAvailable else {
      throw StoreError(
        .unsupported,
        "this SQLite was built without SQLITE_ENABLE_PREUPDATE_HOOK, so that it cannot tell which rows a batch changes; run with one that has it, as Debian's has"
      )
    }
    do throws(SQLiteError) { hasRecordOrder = try RowHook.hasRecordOrder() } catch {
      throw StoreError(.io, "SQLite cannot be asked how it tells rows: \(error)")
    }
    let description = try StoreDescription.read(layout, environment.fileSystem)
    let extensions = try StoreExtensions.open(description, in: layout, environment)
    log = Log(layout: layout, store: description.id, environment: environment)
    settings = Session.Settings(
      replayingIn: description.id, foreignKeys: description.foreignKeys, extensions)
    self.environment = environment
  }

  /// Executes a commit, unless it was the last one.
  func execute(_ commit: Commit, _ cursor: inout LogCursor) throws(StoreError) {
    guard executed?.last != commit.last else { return }
    guard let before = try base(before: commit) else {
      executed = Executed(last: commit.last, first: commit.first, changes: nil, leftOut: [:])
      return
    }
    let replayed = try ReplayedCommit(commit, &cursor)
    let entries = try cursor.pages(of: commit.header)
    let behind = before.adding(
      entries: entries, in: cursor.segment, meta: commit.meta, extent: commit.extent)
    if try replayed.commitsPages(&cursor) {
      // No statement of it is known.
      executed = Executed(last: commit.last, first: commit.first, changes: nil, leftOut: [:])
      session = nil
      base = behind
      return
    }
    // An applier's connection begins with its term.
    if term != cursor.segment.header.term { session = nil }
    term = cursor.segment.header.term
    let request = try replayed.request(&cursor) { (writer) throws(StoreError) in
      try owner(writer, before, behind)
    }
    do throws(StoreError) {
      let collector = try collect(replayed, request, (entries, cursor.segment), before)
      executed = Executed(
        last: commit.last, first: commit.first, changes: collector.changes,
        leftOut: collector.leftOut)
    } catch {
      session = nil
      base = nil
      throw error
    }
    base = behind
  }

  /// The state before a commit; nil where it is not kept.
  private func base(before commit: Commit) throws(StoreError) -> Snapshot? {
    let last = TxID(commit.first.rawValue - 1)
    if let base, base.txid == last { return base }
    session = nil
    base = nil
    do throws(StoreError) {
      base = try Snapshot.recorded(in: log, upTo: log.present(), asOf: .txid(last))
    } catch {
      guard error.isRemoval else { throw error }
      log.forgetFiles()
    }
    guard base?.txid == last else { return nil }
    return base
  }

  private func collect(
    _ replayed: ReplayedCommit, _ request: Session.Request,
    _ recorded: (pages: [PageEntry], segment: LogSegment), _ before: Snapshot
  ) throws(StoreError) -> RowCollector {
    for _ in 0..<Self.attempts {
      let session = try current(before)
      let collector = RowCollector(
        session, hasRecordOrder: hasRecordOrder, isApplied: { replayed.isApplied($0) },
        earlier: { [self] (table, rowID) throws(StoreError) in
          try row(rowID, of: table, in: before)
        })
      var isSame = false
      let done = try session.commit(request) { [environment] (content, _) throws(StoreError) in
        if let difference = replayed.difference(from: content),
          environment.makes(.compareOutcomes)
        {
          throw difference
        }
        isSame = content.meta.checksum == replayed.meta.checksum
        return recorded
      }
      if let failure = collector.failure { throw failure }
      if session.mustReopen || !isSame { self.session = nil }
      if done.committed > 0 { return collector }
    }
    throw replayed.difference("none of its batches is executed again as part of this commit")
  }

  private func current(_ before: Snapshot) throws(StoreError) -> Session {
    if let session { return session }
    let opened = try Session(before, settings, environment)
    session = opened
    return opened
  }

  // MARK: what only the recorded pages say

  /// A row as it was before a commit.
  private func row(_ rowID: Int64, of table: RowTable, in snapshot: Snapshot) throws(StoreError)
    -> [RowChange.Column]?
  {
    try DatabaseReader(snapshot, settings.extensions, environment).reading {
      (connection) throws(SQLiteError) in
      try table.row(rowID, connection)
    }
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
