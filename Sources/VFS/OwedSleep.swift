internal import CSystem

/// The sleep that a busy handler asks for on this thread while the thread waits for something by itself.
///
/// SQLite's own busy handler sleeps longer and longer, up to 100 ms at a time, and counts what it asked for.
/// Whoever waits for the turn looks for it more often than that. So the file system's xSleep returns at once
/// and notes the time, which whoever waits lets pass before it asks the handler again.
package enum OwedSleep {
  // The thread's number: 0 sleeps, -1 leaves out the next sleep, n > 0 owes n - 1 microseconds.

  /// Runs `body`; returns what it returns and the sleep that it asked for.
  package static func collecting<R>(_ body: () -> R) -> (result: R, owed: Duration) {
    let number = csystem_thread_number()
    number?.pointee = 1
    let result = body()
    defer { number?.pointee = 0 }
    return (result, .microseconds((number?.pointee ?? 1) - 1))
  }

  /// What this thread waited for is there: the next sleep is left out.
  package static func skipNext() { csystem_thread_number()?.pointee = -1 }

  /// No sleep is left out any more.
  package static func skipNone() { csystem_thread_number()?.pointee = 0 }

  /// Whether a sleep is over already.
  static func takes(_ microseconds: Int32) -> Bool {
    guard let number = csystem_thread_number(), number.pointee != 0 else { return false }
    if number.pointee > 0 {
      number.pointee += Int64(max(0, microseconds))
    } else {
      number.pointee = 0
    }
    return true
  }
}
