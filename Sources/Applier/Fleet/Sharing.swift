internal import SluiceShared

/// How many of the stores that several processes serve this one is to lead, and what it does for that.
///
/// A share is the number of stores divided by the number of living processes, rounded up. Who leads more releases
/// some, a few at a time; who leads less is the first to claim what is released; and what nobody leads any more,
/// since its process died, is claimed by whoever finds it, whatever their shares.
///
/// It comes to rest: only who is above its share releases, and what it releases goes to somebody below theirs,
/// who releases nothing. So with each move what is above shares in all is one less, and who is at its share does
/// not move. Where those below do not take what is released, as where they cannot open the store, it comes back
/// to who released it; that one waits twice as long each time, up to ten minutes. Nothing is moved for less than a sixteenth
/// of a share, nor before so much was too much for two leases: a process that is being started, or that
/// was taken for dead, moves no stores.
struct Sharing {
  private let lease: Duration
  var stores = 0
  var processes = 1
  private var overSince: Duration?
  private(set) var isReleasing = false
  private var pause = Limits.shortestPauseBetweenReleases
  private var nextRelease: Duration = .zero

  /// A part of what is too much that is released at once, and of a share that is not worth moving.
  private static let part = 16

  init(lease: Duration) { self.lease = lease }

  var share: Int { (stores + processes - 1) / max(1, processes) }

  /// How many stores this process, which leads `leads`, is to release now.
  mutating func surplus(leads: Int, at now: Duration) -> Int {
    guard leads > share else {
      (isReleasing, overSince) = (false, nil)
      return 0
    }
    if !isReleasing {
      guard leads > share + share / Sharing.part else {
        overSince = nil
        return 0
      }
      let since = overSince ?? now
      overSince = since
      guard now - since >= lease * 2 else { return 0 }
      isReleasing = true
    }
    guard now >= nextRelease else { return 0 }
    nextRelease = now + pause
    return max(1, (leads - share) / Sharing.part)
  }

  /// One that this process released is led by another.
  mutating func wentAway() { pause = Limits.shortestPauseBetweenReleases }

  /// Nobody took it, and it is led here again.
  mutating func cameBack() { pause = min(pause * 2, Limits.longestPauseBetweenReleases) }

  /// For how long a process that leads `leads` leaves what may be claimed to others. `look`: within which a
  /// standby sees that a store was released.
  func patience(leads: Int, isReleased: Bool, look: Duration) -> Duration {
    guard leads >= share, processes > 1 else { return .zero }
    // What fell silent has waited for a whole lease already: who has less is ahead by a moment only.
    return isReleased ? look + lease / 10 : lease / 50
  }
}
