import SluiceFakes
import SluiceJournal
import SluiceShared

/// Looks at the file server itself, past all caches and delays, whenever somebody has written a beacon:
/// what is published there may be believed by anybody from then on, so it must never be anything else,
/// also where no reader happened to look.
final class Observer {
  private let log: Log
  private var follower = LogFollower(after: .empty)
  /// The segment that was the present when it looked last, and how much had been published when it
  /// became that.
  private var segment: LogSegmentHeader?
  private var base = LogExtent.empty
  /// All that was ever published.
  private(set) var extent = LogExtent.empty

  /// What tells one commit from another, and the last of its batches.
  struct Commit: Equatable {
    var entropy: Identifier128
    var last: TxID
  }

  /// All that was ever published, in order.
  private(set) var commits: [Commit] = []
  /// The batches of them, as they were when they were published: retention may remove them.
  private(set) var entries: [Verification.Entry] = []
  /// The last batch of each writer in it.
  private(set) var last: [WriterID: SequenceNumber] = [:]

  let store: StoreHandle
  var environment: Environment { store.environment }

  init(_ disk: MemoryDisk, _ store: StoreID, _ clock: any Clock) {
    let environment = Environment(
      fileSystem: MemoryFileSystem(disk), clock: clock, executor: InlineExecutor(),
      random: { 0 })
    self.store = StoreHandle(layout: World.layout, id: store, environment: environment)
    log = Log(of: self.store)
  }

  /// The present, as a reader would find it that waits for nothing; nil where none would, since a
  /// beacon is being written, or its holder died in the midst of it.
  var present: Log.Present? { try? log.present(waits: false) }

  /// The highest TxID that is published now.
  var published: TxID { present?.extent.txid ?? .zero }

  /// The last beacons of the log's segments, the newest first.
  var beacons: some Sequence<(header: LogSegmentHeader, beacon: Beacon)> {
    readable.lazy.map { ($0.header, $1) }
  }

  private var readable: some Sequence<(segment: LogSegment, beacon: Beacon)> {
    // What it has open may be a file that is no more, in place of another of its number.
    let log = Log(of: store)
    return ((try? log.listed()) ?? []).lazy.compactMap { number in
      guard let segment = try? log.open(number), let beacon = try? segment.control().beacon else {
        return nil
      }
      return (segment, beacon)
    }
  }

  /// Takes in what was published since it looked last, and compares it with what was before: all of
  /// it where somebody else leads now, from where the one before began. Returns what is wrong.
  func look() -> Violation? {
    if let present { return follow(present) }
    // A beacon is torn: what the others say is published all the same.
    for (segment, beacon) in Array(readable).reversed() {
      let present = Log.Present(segment: segment, beacon: beacon, isClosed: true)
      if let what = follow(present) { return what }
    }
    return nil
  }

  private func follow(_ present: Log.Present) -> Violation? {
    if segment != present.segment.header {
      // What is not kept any more was compared before it went.
      let kept = (try? log.kept(after: base.txid, upTo: present))?.first?.inherited
      follower = LogFollower(after: kept.flatMap { $0.txid > base.txid ? $0 : nil } ?? base)
      base = extent
      segment = present.segment.header
    }
    var found: Violation?
    do throws(StoreError) {
      try follower.advance(log, to: present) { (commit, cursor) throws(StoreError) in
        let entries = try Verification.Entry.all(of: commit, &cursor)
        if found == nil { found = take(commit, entries) }
      }
    } catch {
      return Violation(
        .publishedIsGone, "what a beacon says is published is not there: \(error)")
    }
    return found ?? compare(present.extent)
  }

  private func take(
    _ commit: SluiceJournal.Commit, _ batches: [Verification.Entry]
  ) -> Violation? {
    let this = Commit(entropy: commit.meta.entropy, last: commit.last)
    let number = Int(commit.meta.commit)
    guard number > commits.count else {
      let known = commits[number - 1]
      guard known != this else { return nil }
      return Violation(
        .twoHistories, "two histories were published: commit \(number) is \(known) and \(this)")
    }
    guard number == commits.count + 1 else {
      return Violation(
        .historyHasGap, "commit \(number) was published after \(commits.count)")
    }
    commits.append(this)
    extent = commit.extent
    entries += batches
    for entry in batches { last[entry.outcome.batch.writer] = entry.outcome.batch.sequence }
    return nil
  }

  private func compare(_ published: LogExtent) -> Violation? {
    guard published.commits > 0 else { return nil }
    guard published.commits <= commits.count else {
      return Violation(
        .publishedIsGone,
        "\(published.commits) commits are published, and \(commits.count) are in the log")
    }
    let known = commits[Int(published.commits) - 1].last
    guard known != published.txid else { return nil }
    return Violation(
      .twoHistories,
      "two histories were published: commit \(published.commits) ends with \(known) and with \(published.txid)"
    )
  }

  /// Whether the batch is in the history that was ever published, refused or not.
  func hasPublished(_ batch: BatchID) -> Bool {
    last[batch.writer].map { batch.sequence <= $0 } ?? false
  }

  /// The batches in the whole frames of a journal segment, as the file server has it now.
  func batches(in path: String) -> [BatchID] { content(of: path).map(\.id) }

  func content(of path: String) -> [JournalContent.Entry] {
    guard let file = try? environment.fileSystem.open(path, .shared) else { return [] }
    return (try? JournalContent.batches(in: file)) ?? []
  }
}
