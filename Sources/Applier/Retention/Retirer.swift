internal import SluiceShared

/// Decides when it is time to remove what is old, and has it done beside the applier's work.
final class Retirer {
  private let retention: Retention
  private let settings: RetentionSettings
  private let environment: Environment
  private var work: (any StartedWork)?
  private let result = Monitor<Result<Retention.Done, StoreError>?>(nil)
  private var next: Duration?
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
    if !startsAtOnce { next = environment.clock.elapsed() + settings.pause }
  }

  var isDue: Bool {
    guard work == nil else { return false }
    return next.map { environment.clock.elapsed() >= $0 } ?? true
  }

  /// Something is superseded now.
  func hurry() { next = nil }

  /// There was no room: readers are not waited for.
  func hurryForRoom() { (next, lacksRoom) = (nil, true) }

  /// Whoever writes may fill the disk long before the next usual look. So while something is written the room that
  /// is left is looked at more often; and who found none may say so (`isTold`). `lastWork`: when something was
  /// last committed (boot time).
  func lookForRoom(isTold: Bool, lastWork: Duration) {
    let now = environment.clock.elapsed()
    guard work == nil, lastStart.map({ now - $0 >= Limits.roomPause }) ?? true else { return }
    if isTold { return hurry() }
    guard !wasFruitless, lastRoomLook.map({ lastWork > $0 && now - $0 >= Limits.roomPause }) ?? true
    else { return }
    lastRoomLook = now
    if retention.isRoomScarce { hurry() }
  }

  /// `now_ms` asks for the file server's time, and is told whether the disk may be full; where that time is not
  /// known nothing goes.
  func start(_ occasion: Retention.Occasion, now_ms: @escaping @Sendable (Bool) -> Int64?) {
    let now = environment.clock.elapsed()
    (lastStart, next) = (now, now + settings.pause)
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
    let done = result.withLock { result in
      defer { result = nil }
      return result
    }
    if case .success(let done)? = done { wasFruitless = done.wasUrgent && done.isEmpty }
    return done
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
