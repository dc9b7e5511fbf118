public import SluiceJournal
internal import SluiceReader
internal import SluiceSQLite
public import SluiceShared

/// Executes a recorded history again, by the code that an applier executes with, and compares (promise 7).
///
/// The batches of each commit are executed as one group, with the recorded time and entropy. Of every
/// batch the outcome is compared; after each commit the checksum of the whole database. Where SQLite did
/// not make the same pages (an applier's cache was warm, or had less room), the content of all tables is
/// compared: at each checkpoint that is passed, at the end, and before what is kept of earlier states
/// grows larger than the database. Where that differs, the states in between say since which commit.
///
/// What came of pages in the record is used for comparing, and for whose files a writer's are, which is
/// written nowhere else.
public final class Replay {
  let history: RecordedHistory
  /// What executing cannot find out: that the record was made by another SQLite.
  let note: (String) -> Void
  private let onProgress: (_ done: Int64, _ total: Int64) -> Void

  /// What came of it.
  public struct Summary: Sendable {
    /// The checkpoint that it began with, and the last batch.
    public var first: TxID
    public var last: TxID
    public var commits: UInt64 = 0
    /// Commits after which the whole database had the recorded checksum, page by page.
    public var samePages: UInt64 = 0
    /// As of which batches the content of all tables was compared, where pages differed.
    public var comparedContents: [TxID] = []
    /// Interactive transactions, whose pages are taken as they are recorded: what made them is not.
    public var takenPages: UInt64 = 0

    public var batches: UInt64 { last.rawValue - first.rawValue }
  }

  var summary = Summary(first: .zero, last: .zero)
  var session: Session
  let settings: Session.Settings
  let file: ReplayedFile
  /// The record's database, commit by commit; nil behind a damage, until the next checkpoint.
  var recorded: Snapshot?
  private let owners: DatabaseReader
  private var lastOwner: UInt32 = 0
  private var term: UInt64?
  /// Commits since the last state that is known to be as recorded.
  var unproven: [ReplayedCommit] = []
  private var spans: [(segment: UInt64, before: Int64)] = []
  private var total: Int64 = 0

  /// Replays from checkpoint `first` (nil: the oldest from which the log is complete) to the last commit
  /// at `point` (nil: the end) into the plain SQLite file `path`, which is made under another name and
  /// gets its own when all was equal. Nothing is overwritten.
  ///
  /// Throws `.damaged` at the first difference, with the commit, the batch, and what differs.
  public static func run(
    _ history: RecordedHistory, into path: String, from first: TxID? = nil,
    to point: HistoryPoint? = nil, note: @escaping (String) -> Void = { _ in },
    onProgress: @escaping (_ done: Int64, _ total: Int64) -> Void = { _, _ in }
  ) throws(StoreError) -> Summary {
    let base = try history.base(first, before: point, note)
    return try Restoration.making(path, history.environment) {
      (temporary) throws(StoreError) -> Summary in
      try SnapshotImage(base, history.environment).write(to: temporary, mode: 0o600)
      let replay = try Replay(history, base, temporary, note, onProgress)
      try replay.run(to: point)
      try replay.file.finish()
      try SnapshotImage(replay.session.snapshot, history.environment).prove(temporary)
      return replay.summary
    }
  }

  /// The same for what it says, from the oldest checkpoint to the end; the file is thrown away.
  public static func compare(
    _ history: RecordedHistory, note: @escaping (String) -> Void = { _ in },
    onProgress: @escaping (_ done: Int64, _ total: Int64) -> Void = { _, _ in }
  ) throws(StoreError) -> Summary {
    let directory = try MadeDirectory(history.environment.fileSystem, history.environment.random())
    return try run(
      history, into: "\(directory.path)/replayed.sqlite", note: note, onProgress: onProgress)
  }

  private init(
    _ history: RecordedHistory, _ base: Snapshot, _ temporary: String,
    _ note: @escaping (String) -> Void,
    _ onProgress: @escaping (_ done: Int64, _ total: Int64) -> Void
  ) throws(StoreError) {
    self.history = history
    self.note = note
    self.onProgress = onProgress
    settings = Session.Settings(
      replayingIn: history.log.store.id, foreignKeys: history.foreignKeys, history.extensions)
    file = try ReplayedFile(temporary, base, history.log.store.id, history.environment)
    recorded = base
    session = try Session(base, settings, history.environment)
    owners = try DatabaseReader(base, history.extensions, history.environment)
    summary.first = base.txid
    summary.last = base.txid
  }

  // MARK: the history

  private func run(to point: HistoryPoint?) throws(StoreError) {
    let spans = try history.log.history(after: summary.first, upTo: history.present)
    for span in spans {
      self.spans.append((span.segment.number, total))
      total += span.end
    }
    compareEngines(spans, upTo: point)
    var follower = LogFollower(after: session.extent)
    var isOver = false
    do throws(StoreError) {
      try follower.advance(history.log, to: history.present) {
        (commit, cursor) throws(StoreError) in
        if let point, !point.includes(commit.extent) {
          isOver = true
          throw StoreError(.invalid, "the end of the replay is reached")
        }
        try execute(commit, &cursor)
        // What is behind it need not be readable.
        if case .txid(let last)? = point, commit.last == last {
          isOver = true
          throw StoreError(.invalid, "the end of the replay is reached")
        }
      }
    } catch {
      guard isOver else { throw error }
    }
    if !unproven.isEmpty { try compareContent() }
  }

  private func showProgress(_ cursor: LogCursor) {
    let before = spans.last { $0.segment == cursor.segment.number }?.before ?? 0
    onProgress(before + cursor.offset, total)
  }

  // MARK: one commit

  private func execute(_ commit: Commit, _ cursor: inout LogCursor) throws(StoreError) {
    let replayed = try ReplayedCommit(commit, &cursor)
    if try replayed.commitsPages(&cursor) { try takeRecorded(before: replayed) }
    try follow(commit, replayed, &cursor)
    // An applier's connection begins with its term.
    if term != cursor.segment.header.term {
      if term != nil { session = try Session(session.snapshot, settings, history.environment) }
      term = cursor.segment.header.term
    }
    if try replayed.commitsParts(&cursor) {
      try takeRecorded(behind: replayed)
    } else {
      try compareContent(beforeResizingTo: commit.meta.pageSize)
      try executeAgain(replayed, &cursor)
    }
    summary.last = commit.last
    summary.commits += 1
    let isCheckpoint = history.checkpoints.contains(commit.last)
    if isCheckpoint { try compare(checkpoint: replayed) }
    if session.snapshot.checksum == commit.meta.checksum {
      summary.samePages += 1
      // What they did need not be in this state any more.
      if !unproven.isEmpty { try compareContent() }
      forgetUnproven()
    } else {
      unproven.append(replayed)
      if isCheckpoint || file.earlierBytes > max(64 << 20, session.snapshot.byteCount) {
        try compareContent()
      }
    }
    showProgress(cursor)
  }

  private func executeAgain(_ replayed: ReplayedCommit, _ cursor: inout LogCursor)
    throws(StoreError)
  {
    let request = try replayed.request(&cursor, owner: owner)
    // A batch may want a connection opened anew, as it did the first time.
    for attempt in 1... {
      if session.mustReopen {
        session = try Session(session.snapshot, settings, history.environment)
      }
      let done = try session.commit(request) { [self] (content, _) throws(StoreError) in
        try take(content, of: replayed)
      }
      guard done.committed == 0 else { break }
      guard attempt < Self.attempts else {
        throw replayed.difference("none of its batches is executed again as part of this commit")
      }
    }
  }

  private static let attempts = 3

  /// Adds the commit to the record's database.
  private func follow(_ commit: Commit, _ replayed: ReplayedCommit, _ cursor: inout LogCursor)
    throws(StoreError)
  {
    guard let before = recorded else { return }
    let entries: [PageEntry]
    do throws(StoreError) { entries = try cursor.pages(of: commit.header) } catch {
      guard error.code == .damaged else { throw error }
      // What batches and checksums say does not depend on it.
      note("\(error). Until the next checkpoint outcomes and checksums alone are compared")
      recorded = nil
      return
    }
    let checksum = try before.checksum(adding: entries, commit.meta)
    // A first database that had to be made anew may have other pages than the store's had.
    guard checksum == commit.meta.checksum || history.beginsAnew else {
      throw replayed.difference(
        "its pages give the database the checksum \(checksum), and it says \(commit.meta.checksum)")
    }
    recorded = before.adding(
      entries: entries, in: cursor.segment, meta: commit.meta, extent: commit.extent)
  }

  private func owner(of writer: WriterID) throws(StoreError) -> UInt32 {
    if let known = try session.known(writer) {
      lastOwner = known.owner
      return known.owner
    }
    // Where nothing says it, as likely as not the same user's as the one's before.
    guard let recorded else { return lastOwner }
    owners.pages = recorded
    let row: SQLValue?
    do throws(StoreError) {
      row = try owners.reading { (connection) throws(SQLiteError) in
        try connection.scalar(
          "SELECT owner FROM _sluice_writers WHERE writer = ?", [.blob(writer.blob)])
      }
    } catch {
      guard error.code == .damaged else { throw error }
      note("whose files those of writer \(writer) were cannot be read: \(error)")
      return lastOwner
    }
    // One that this commit forgets again leaves no trace.
    guard case .integer(let owner)? = row else { return lastOwner }
    lastOwner = UInt32(truncatingIfNeeded: owner)
    return lastOwner
  }

  /// Compares what a commit would put into the log with what it did put there, and keeps its pages.
  private func take(_ content: CommitContent, of commit: ReplayedCommit) throws(StoreError)
    -> (pages: [PageEntry], segment: LogSegment)
  {
    if let difference = commit.difference(from: content),
      history.environment.makes(.compareOutcomes)
    {
      // It may be no more than what came of an earlier one.
      try compareContent()
      throw difference
    }
    let isSame = content.meta.checksum == commit.meta.checksum
    return (
      try file.write(content, keepsEarlier: !isSame || !unproven.isEmpty), file.segment
    )
  }

  // MARK: content

  /// Compares all that there is behind the last commit; where it differs, throws for the first commit after
  /// which it did.
  func compareContent() throws(StoreError) {
    guard let last = unproven.last, history.environment.makes(.compareContents) else { return }
    summary.comparedContents.append(last.last)
    do throws(StoreError) {
      guard try !differences(behind: last).isEmpty else { return forgetUnproven() }
    } catch {
      guard error.code == .damaged else { throw error }
      summary.comparedContents.removeLast()
      note("\(error). The content as of batch \(last.last) is not compared")
      return forgetUnproven()
    }
    // The state before the first of them is as recorded, the one after the last is not.
    var low = 0
    var high = unproven.count - 1
    while low < high {
      let middle = (low + high) / 2
      if try differences(behind: unproven[middle]).isEmpty {
        low = middle + 1
      } else {
        high = middle
      }
    }
    let commit = unproven[high]
    throw commit.difference(in: try differences(behind: commit), history)
  }

  private func differences(behind commit: ReplayedCommit) throws(StoreError)
    -> [ContentComparison.Difference]
  {
    // Of a checkpoint, if there is one as of that batch.
    let recorded = try Snapshot.recorded(
      in: history.log, upTo: history.present, asOf: .txid(commit.last))
    let replayed = file.pages(behind: commit.meta.commit, pageCount: commit.replayedPages)
    return try ContentComparison(
      recorded: DatabaseReader(recorded, history.extensions, history.environment),
      replayed: DatabaseReader(replayed, history.extensions, history.environment)
    ).differences()
  }

  /// A checkpoint that is passed has the pages that the log has.
  private func compare(checkpoint commit: ReplayedCommit) throws(StoreError) {
    let checkpoint: Snapshot
    do throws(StoreError) {
      checkpoint = try Snapshot(checkpoint: commit.last, of: history.log.store)
    } catch {
      return note("checkpoint \(commit.last) is passed without comparing: \(error)")
    }
    guard checkpoint.checksum != commit.meta.checksum else {
      recorded = recorded ?? checkpoint
      return
    }
    throw commit.difference(
      "checkpoint \(commit.last) has the checksum \(checkpoint.checksum), and the log has \(commit.meta.checksum)"
    )
  }
}

extension Session.Settings {
  /// No limit but those that every applier has: what one allowed its batches is not recorded, and what
  /// came of it is.
  init(replayingIn store: StoreID, foreignKeys: Bool, _ extensions: [LoadableExtension]) {
    let description = StoreDescription(
      id: store, pageSize: 0, lease: .file, foreignKeys: foreignKeys)
    var options = ApplierOptions(holder: "replay")
    options.stepsPerBatch = UInt64(Int64.max) / 4
    options.scratchBytes = .max / 4
    options.extensions = extensions
    self.init(description, options)
    compresses = false
  }
}

extension RecordedHistory {
  /// The snapshot that a replay begins with: checkpoint `first`, or the oldest one that the log goes on
  /// from without a gap.
  fileprivate func base(
    _ first: TxID?, before point: HistoryPoint?, _ note: (String) -> Void
  ) throws(StoreError) -> Snapshot {
    let known = checkpoints.map { "\($0)" }.joined(separator: ", ")
    var failure: StoreError?
    for txid in checkpoints where first == nil || txid == first {
      do throws(StoreError) {
        let snapshot = try Snapshot(checkpoint: txid, of: log.store)
        guard point?.includes(snapshot.extent) ?? true else {
          throw StoreError(
            .snapshotExpired,
            "checkpoint \(txid) is later than \(point.map { "\($0)" } ?? ""); a replay begins with an earlier one",
            path: log.store.layout.checkpoints)
        }
        _ = try log.history(after: txid, upTo: present)
        return snapshot
      } catch {
        guard error.code == .damaged || error.isRemoval else { throw error }
        if first == nil { note("the replay does not begin with checkpoint \(txid): \(error)") }
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
    throw StoreError(
      .noSuchStore,
      first.map { "there is no checkpoint \($0) to begin with; there are: \(known)" }
        ?? "there is no checkpoint to begin with", path: log.store.layout.checkpoints)
  }
}
