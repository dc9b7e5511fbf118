internal import SluiceShared
internal import SluiceVFS

/// The busy handler of a connection, as SQLITE_FCNTL_BUSYHANDLER gives it: a function and its argument, in
/// memory of SQLite's that lasts as long as the file is open.
struct BusyHandler {
  private typealias Function = @convention(c) (UnsafeMutableRawPointer?) -> Int32
  private let words: UnsafeMutablePointer<UnsafeMutableRawPointer?>

  init(_ argument: UnsafeMutableRawPointer) {
    words = argument.assumingMemoryBound(to: UnsafeMutableRawPointer?.self)
  }

  /// False: who waits is to give up. It sleeps before it says to go on.
  func keepsWaiting() -> Bool {
    guard let word = words[0] else { return false }
    return unsafeBitCast(word, to: Function.self)(words[1]) != 0
  }
}

/// How long a request for the turn waits: as the busy handler says, which is asked at the times at which it
/// would wake up.
struct TurnPatience {
  private let handler: BusyHandler?
  private let clock: any Clock
  private var asksNext: Duration
  /// False where there is no handler, or one that does not wait at all.
  private(set) var isThere = false

  init(_ handler: BusyHandler?, _ clock: any Clock) {
    self.handler = handler
    self.clock = clock
    asksNext = clock.elapsed()
    isThere = lasts()
  }

  mutating func lasts() -> Bool {
    guard clock.elapsed() >= asksNext else { return true }
    guard let handler else { return false }
    let answer = OwedSleep.collecting { handler.keepsWaiting() }
    asksNext = clock.elapsed() + answer.owed
    return answer.result
  }
}
