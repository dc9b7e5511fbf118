import BenchmarkSupport
import Glibc
import SluiceShared

/// What a process does at the points that it comes to: it counts them, and at the planned one it
/// dies or stops.
final class CrashScript: Sendable {
  let plan: CrashPlan?
  private let notes: Notes
  private let traps: Bool
  private let counts = Monitor<[CrashPoint: Int]>([:])

  /// `traps`: what is to die traps instead.
  init(_ plan: CrashPlan?, _ notes: Notes, traps: Bool = false) {
    self.plan = plan
    self.notes = notes
    self.traps = traps
  }

  /// To be called at the point; returns unless the process is to die here.
  func reach(_ moment: CrashPoint.Moment, _ action: CrashPoint.Action, _ place: String) {
    if isDue(CrashPoint(moment, action, place)) { meetFate() }
  }

  /// Whether the plan is for this point and this time. The caller must meet its fate if so.
  func isDue(_ point: CrashPoint) -> Bool {
    let count = counts.withLock { counts in
      counts[point, default: 0] += 1
      return counts[point]
    }
    guard let plan, plan.point == point else { return false }
    return plan.count == count
  }

  func meetFate() {
    guard let plan else { return }
    switch plan.fate {
    case .die:
      if traps { fatalError("a trap on purpose") }
      notes.write("died \(plan.point)")
      kill(getpid(), SIGKILL)
      while true { pause() }
    case .stop:
      notes.write("stopped \(plan.point)")
      kill(getpid(), SIGSTOP)
    }
  }

  /// Tells how often each point was come to, for the rounds that follow.
  func tell() {
    for (point, count) in counts.withLock({ $0 }) { notes.write("reached \(point) \(count)") }
  }
}

/// A file of lines by one process, for the one that started it. A line is written by one call, so
/// that all of them outlive the process, wherever it is killed.
final class Notes: Sendable {
  private let descriptor: Int32

  init(_ path: String) throws(RunError) {
    descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw RunError("\(path) cannot be written: \(String(cString: strerror(errno)))")
    }
  }

  func write(_ line: String) {
    let bytes = Array("\(line)\n".utf8)
    let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
    // What is not noted cannot be checked: the run is worth nothing then.
    guard count == bytes.count else { abort() }
  }
}
