internal import SluiceShared

/// A standby's half of a lease in a table: what it knows of the item, and what may be done about it.
struct Candidacy {
  private enum Sight: Hashable {
    case unread, absent
    case item(LockItem)
  }

  /// How long an item may stay the same where it does not say so itself.
  private let lease: Duration
  private let me: String
  private var sight = Sight.unread
  /// When the first answer that had this lock id was there (boot time). A holder counts from before it
  /// sent the request that wrote the id, so it knows of its end before anybody else does.
  private var unchangedSince: Duration = .zero

  init(lease: Duration, me: String) {
    self.lease = lease
    self.me = me
  }

  /// An answer that was there at `now` showed the item like this.
  mutating func sees(_ found: LockItem?, at now: Duration) {
    let isSame = if case .item(let before) = sight { before.lockID == found?.lockID } else { false }
    if !isSame { unchangedSince = now }
    sight = found.map { .item($0) } ?? .absent
  }

  /// Nothing is known of it: it must be read again.
  mutating func forget() { sight = .unread }

  /// What writing the item is conditional on, where it may be taken; nil: it is somebody's, or was not
  /// read yet. `observes`: an item of another holder's must have stayed the same for its lease time.
  func chance(at now: Duration, observes: Bool = true) -> LockCondition? {
    switch sight {
    case .unread: return nil
    case .absent: return .absent
    case .item(let item):
      // One's own: the answer to an earlier try was lost.
      let isFree = item.state == .released || item.holder == me
      guard isFree || now - unchangedSince >= patience(for: item) || !observes else { return nil }
      return .unchanged(lockID: item.lockID)
    }
  }

  /// For how long the item has been what it is, as far as was seen; zero where it was seen for the first time at `now`.
  func silence(at now: Duration) -> Duration { now - unchangedSince }

  /// From when another's item may be taken, if it stays the same (boot time).
  var nextChance: Duration? {
    guard case .item(let item) = sight, item.state == .active, item.holder != me else { return nil }
    return unchangedSince + patience(for: item)
  }

  /// What the item says, where that can be meant.
  private func patience(for item: LockItem) -> Duration {
    Candidacy.soundLeases.contains(item.lease) ? item.lease : lease
  }

  private static let soundLeases = Duration.milliseconds(1) ... .seconds(3600)

  /// Whose it was when it was seen last.
  var holder: String? { if case .item(let item) = sight { item.holder } else { nil } }

  /// What it had when it was seen last.
  var lockID: String? { if case .item(let item) = sight { item.lockID } else { nil } }

  /// The item for a new term of one's own.
  func successor(lockID: String, expires_s: Int64) -> LockItem {
    let term: Int64 = if case .item(let item) = sight { item.term } else { 0 }
    return LockItem(
      lockID: lockID, holder: me, term: term >= 0 && term < .max ? term + 1 : 1, lease: lease,
      state: .active, expires_s: expires_s)
  }
}

/// A holder's half: its item, and until when it may lead.
struct Tenure {
  var item: LockItem
  /// Counts from before the last request that was answered was sent (boot time).
  private(set) var deadline: Duration
  /// When the next renewal is due.
  private(set) var nextRenewal: Duration
  /// The last one failed: the next one does not wait for longer because its holder rests.
  private(set) var hasFailed = false

  /// The item was written by a request that was sent at `sent`.
  init(_ item: LockItem, sent: Duration, renewal: Duration) {
    self.item = item
    deadline = sent + item.lease
    nextRenewal = sent + renewal
  }

  mutating func renewed(from start: Duration) {
    deadline = max(deadline, start + item.lease)
    hasFailed = false
  }

  mutating func asked(at now: Duration, renewal: Duration) { nextRenewal = now + renewal }

  mutating func failed(next: Duration) { (nextRenewal, hasFailed) = (next, true) }
}

/// When a request that failed is sent again: exponential backoff with full jitter, or, where nothing is left for that
/// (`RetryBudget`), when it is due anyway.
struct RetryPacing {
  private let longest: Duration
  private var failures = 0
  private(set) var notBefore: Duration = .zero

  init(longest: Duration) { self.longest = longest }

  mutating func failed(at now: Duration, _ random: UInt64) {
    let most = min(longest, .milliseconds(50) * (1 << min(failures, 10)))
    failures += 1
    notBefore = now + most * Double(random >> 11) / Double(1 << 53)
  }

  /// It is not sent again before it is due.
  mutating func failed(due: Duration) {
    failures += 1
    notBefore = due
  }

  mutating func succeeded() {
    failures = 0
    notBefore = .zero
  }
}
