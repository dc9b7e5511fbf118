import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared

extension World {
  /// A process that follows the history, and is told by hints when there is more: it is passed each batch once, in
  /// order, as it was published, and looks as often as it must where hints are lost.
  func follower(_ life: Life) throws {
    let first = TxID(1 + UInt64(scheduler.random.below(Int(oracle.floor.rawValue) + 1)))
    let feed = try ChangeFeed(path: World.layout.root, from: first, environment: life.environment)
    let news = try NewsWait(path: World.layout.root, environment: life.environment)
    let looks = FollowerLooks(scheduler)
    looks.lastNews_ns = scheduler.now_ns
    self.looks[life.process.number] = looks
    defer { self.looks[life.process.number] = nil }
    // What it has not seen it is passed next.
    var next = first
    for _ in 0..<(1 + scheduler.random.below(60)) where !life.isGone && !isEnding {
      try pass(feed, &next, life)
      waitForNews(news, behind: feed.txid, looks, life)
    }
  }

  /// All that was published since.
  func pass(_ feed: ChangeFeed, _ next: inout TxID, _ life: Life) throws {
    try feed.advance(onGap: { gap in
      guard !life.isGone else { return }
      note("\(life.name) is not passed \(gap.batches.lowerBound) to \(gap.batches.upperBound)")
      if plan.retention == nil || gap.batches.lowerBound != next {
        oracle.violate(
          .historyHasGap,
          "\(life.name) was told that \(gap.batches) are gone, and expected \(next)")
      }
      next = gap.batches.upperBound.next
    }) { entry in
      guard !life.isGone else { return }
      judge(entry, next, life)
      next = entry.txid.next
      count(.followed)
    }
  }

  private func judge(_ entry: ChangeFeed.Entry, _ expected: TxID, _ life: Life) {
    if let what = observer.look() { oracle.violate(what) }
    guard entry.txid == expected else {
      return oracle.violate(
        .historyHasGap, "\(life.name) was passed \(entry.txid), and expected \(expected)")
    }
    let place = Int(entry.txid.rawValue) - 1
    guard observer.entries.indices.contains(place) else {
      return oracle.violate(
        .newsFromNowhere, "\(life.name) was passed \(entry.txid), which was never published")
    }
    let published = observer.entries[place]
    guard published.outcome == entry.outcome else {
      return oracle.violate(
        .twoHistories,
        "\(life.name) was passed \(entry.outcome) as \(entry.txid), published was \(published.outcome)"
      )
    }
    oracle.saw(entry.txid)
  }

  private func waitForNews(
    _ news: NewsWait, behind seen: TxID, _ looks: FollowerLooks, _ life: Life
  ) {
    let limit = Duration.seconds([1, 10, 60][scheduler.random.below(3)])
    looks.beginWait()
    let told = news.wait(behind: seen, atMost: limit) { life.isGone || isEnding }
    guard !life.isGone else { return }
    looks.begins()
    if let told {
      note("\(life.name) was told that \(told) is published")
      count(.news)
      if let what = observer.look() { oracle.violate(what) }
      if told <= seen || told > observer.extent.txid {
        oracle.violate(
          .newsFromNowhere,
          "\(life.name), behind \(seen), was told that \(told) is published, which was never more than \(observer.extent.txid)"
        )
      }
    }
    judge(looks, behind: seen, life)
    if told != nil { looks.lastNews_ns = scheduler.now_ns }
  }

  /// Between two looks it rests no longer than it may, from when somebody knew that there is more.
  private func judge(_ looks: FollowerLooks, behind seen: TxID, _ life: Life) {
    // Who stood still looked when it could.
    guard let since_ns = oracle.since(beyond: seen), life.process.frozenUntil_ns <= looks.began_ns
    else { return }
    let quiet = Duration.nanoseconds(Int64(scheduler.now_ns - looks.lastNews_ns))
    let longest = min(Limits.longestHintedPause, max(Limits.shortestHintedPause, quiet / 8))
    let bound_ns = longest.inNanoseconds + World.lateness_ns
    let rests_ns = looks.rests.map { rest in rest.end - min(rest.end, max(rest.begin, since_ns)) }
    // A beacon that cannot be read is waited for, in short pauses.
    let longest_ns = rests_ns.max() ?? 0
    if longest_ns > bound_ns || rests_ns.reduce(0, +) > bound_ns + World.unreadable_ns {
      oracle.violate(
        .newsCameLate,
        "\(life.name), behind \(seen), rested for \(rests_ns) ns when more was published")
    }
  }

  /// Clocks drift, and a simulated strand notices late what it waits for.
  private static let lateness_ns: UInt64 = 150_000_000
  /// See `Log.present`.
  private static let unreadable_ns: UInt64 = 6_000_000_000
}

/// When a process that follows rested between two file operations, since it last began to wait.
final class FollowerLooks {
  private let scheduler: EventScheduler
  private(set) var began_ns: UInt64 = 0
  private(set) var rests: [(begin: UInt64, end: UInt64)] = []
  /// When the last operation ended; nil: one is under way.
  private var ended_ns: UInt64?
  var lastNews_ns: UInt64 = 0

  init(_ scheduler: EventScheduler) { self.scheduler = scheduler }

  func beginWait() {
    (began_ns, ended_ns, rests) = (scheduler.now_ns, scheduler.now_ns, [])
  }

  func begins() {
    if let ended_ns { rests.append((ended_ns, scheduler.now_ns)) }
    ended_ns = nil
  }

  func ends() { ended_ns = scheduler.now_ns }
}
