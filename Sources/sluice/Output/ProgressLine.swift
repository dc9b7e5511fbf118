import Glibc
import SluiceShared

/// How far a long work has come, in a line of its own on the terminal; nowhere else.
struct ProgressLine {
  private let what: String
  private var total: Int64
  private let clock: any Clock
  private let began: Duration
  private var last: Duration
  private let isShown = isatty(STDERR_FILENO) == 1
  private static let pause = Duration.milliseconds(250)

  /// Of work over `total` bytes.
  init(_ what: String, total: Int64, _ clock: any Clock) {
    self.what = what
    self.total = total
    self.clock = clock
    began = clock.elapsed()
    last = began
  }

  mutating func show(_ done: Int64, of newTotal: Int64? = nil) {
    total = newTotal ?? total
    let now = clock.elapsed()
    guard isShown, now - last >= Self.pause, done > 0, total > 0 else { return }
    last = now
    write(Self.text(what, done: done, of: total, after: now - began))
  }

  /// `restoring 42 %, 310 MB/s, 12 s left`.
  static func text(_ what: String, done: Int64, of total: Int64, after time: Duration) -> String {
    let milliseconds = max(1, time.wholeMilliseconds)
    let rate = done / milliseconds
    let left = rate > 0 ? (total - done) / rate / 1000 : 0
    return "\(what) \(done * 100 / max(1, total)) %, \(rate / 1000) MB/s, \(left) s left"
  }

  /// Takes the line away again.
  func end() { if isShown, last != began { write("") } }

  private func write(_ text: String) {
    // To the line's beginning, and what was there is erased.
    var output = OutputFile(descriptor: STDERR_FILENO)
    try? output.write("\r\u{1B}[K\(text)")
    try? output.flush()
  }
}
