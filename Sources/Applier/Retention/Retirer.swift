internal import SluiceJournal
internal import SluiceShared

/// Decides when it is time to remove what is old, and has it done beside the applier's work.
final class Retirer {
  private let retention: Retention
  private let settings: RetentionSettings
  private let environment: Environment
  private var work: (any StartedWork)?
  private let result = Monitor<Result<Retention.Done, StoreError>?>(nil)
  /// When it was looked at last; nil: it is to be looked at now.
  private var began: Duration?
  /// What was published then.
  private var seen: PublishedTxID?
  /// How long that serves where nothing is committed meanwhile.
  private var rest: Duration
  /// Something met a full disk.
  private var lacksRoom = false
  /// When it was last begun, and when the room that is left was last looked at (boot time).
  private var lastStart: Duration?
  private var lastRoomLook: Duration?
  /// The last time for want of room nothing could go.
  private var wasFruitless = false

  /// A term has other things to do in its first minute, unless it is to end before.
  init(
    _ retention: Retention, _ settings: RetentionSettings, startsAtOnce: Bool,
    _ environment: Environment
  ) {
    self.retention = retention
    self.settings = settings
    self.environment = environment
    rest = settings.pause
    if !startsAtOnce { began = environment.clock.elapsed() }
  }

  /// Where only time goes by, what is kept ages, and nothing else: pauses grow from one look that removed nothing
  /// to the next.
  func isDue(_ published: PublishedTxID) -> Bool {
    guard work == nil else { return false }
    guard let began else { return true }
    return environment.clock.elapsed() >= began + (published == seen ? rest : settings.pause)
  }

  /// Something is superseded now.
  func hurry() { began = nil }

  /// There was no room: readers are not waited for.
  func hurryForRoom() { (began, lacksRoom) = (nil, true) }

  /// Whoever writes may fill the disk long before the next usual look. So while something is written the room that
  /// is left is looked at more often, and at rest as often as before pauses grew; and who found none may say so
  /// (`isTold`). `lastWork`: when something was last committed (boot time).
  func lookForRoom(isTold: Bool, lastWork: Duration) {
    let now = environment.clock.elapsed()
    guard work == nil, lastStart.map({ now - $0 >= Limits.roomPause }) ?? true else { return }
    if isTold { return hurry() }
    let isDue =
      lastRoomLook.map { look in
        now - look >= (lastWork > look ? Limits.roomPause : settings.pause)
      } ?? true
    guard isDue, !wasFruitless else { return }
    lastRoomLook = now
    if retention.isRoomScarce { hurry() }
  }

  /// `now_ms` asks for the file server's time, and is told whether the disk may be full; where that time is not
  /// known nothing goes.
  func start(_ occasion: Retention.Occasion, now_ms: @escaping @Sendable (Bool) -> Int64?) {
    let now = environment.clock.elapsed()
    if occasion.published != seen { rest = settings.pause }
    (began, lastStart, seen) = (now, now, occasion.published)
    let lacksRoom = lacksRoom
    self.lacksRoom = false
    let retention = retention
    let result = result
    work = environment.executor.start {
      var occasion = occasion
      occasion.isUrgent = lacksRoom || retention.isRoomScarce
      guard let now_ms = now_ms(occasion.isUrgent) else { return }
      occasion.now_ms = now_ms
      do throws(StoreError) {
        let done = try retention.run(occasion)
        result.withLock { $0 = .success(done) }
      } catch {
        result.withLock { $0 = .failure(error) }
      }
    }
  }

  /// What came of what was started, once.
  func finished() -> Result<Retention.Done, StoreError>? {
    guard let work, work.isDone else { return nil }
    self.work = nil
    let result = result.withLock { result in
      defer { result = nil }
      return result
    }
    rest = result.leftNothing ? min(rest * 2, settings.longestPause) : settings.pause
    if case .success(let done)? = result { wasFruitless = done.wasUrgent && done.isEmpty }
    return result
  }

  func wait() { work?.wait() }

  /// At once, in this thread, without waiting for readers: the disk is full.
  func makeRoom(_ occasion: Retention.Occasion) throws(StoreError) -> Retention.Done {
    wait()
    _ = finished()
    var occasion = occasion
    occasion.isUrgent = true
    return try retention.run(occasion)
  }
}

extension Result<Retention.Done, StoreError>? {
  /// It was looked at whole, and there was nothing to remove.
  fileprivate var leftNothing: Bool {
    guard case .success(let done) = self else { return false }
    return done.isEmpty && !done.waitsForRebase && !done.wasUrgent
  }
}
