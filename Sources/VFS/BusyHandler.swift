package import SluiceShared

/// The busy handler of a connection, as SQLITE_FCNTL_BUSYHANDLER gives it: a function and its argument, in
/// memory of SQLite's that lasts as long as the file is open.
package struct BusyHandler {
  private typealias Function = @convention(c) (UnsafeMutableRawPointer?) -> Int32
  private let words: UnsafeMutablePointer<UnsafeMutableRawPointer?>

  package init(_ argument: UnsafeMutableRawPointer) {
    words = argument.assumingMemoryBound(to: UnsafeMutableRawPointer?.self)
  }

  /// False: who waits is to give up. It sleeps before it says to go on.
  package func keepsWaiting() -> Bool {
    guard let word = words[0] else { return false }
    return unsafeBitCast(word, to: Function.self)(words[1]) != 0
  }

  /// Takes the rest of its patience: SQLite, which counts what it has asked, asks it no more in this call.
  ///
  /// For a wait that had a limit of its own; each further try would wait for all of that again. The sleeps of
  /// SQLite's own handler are left out. One of the program's, which may never give up, is asked for 100 ms.
  package func exhaust(_ clock: any Clock) {
    let start = clock.elapsed()
    _ = OwedSleep.collecting {
      while keepsWaiting(), clock.elapsed() - start < .milliseconds(100) {}
    }
  }
}
