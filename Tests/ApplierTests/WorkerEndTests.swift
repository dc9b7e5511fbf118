import SluiceShared
import Testing

@testable import SluiceApplier

@Suite("How a worker ended is told as it was")
struct WorkerEndTests {
  /// It closed its socket, and takes some time to end.
  @Test func aSlowEndHasItsOwnSignal() throws {
    let process = try WorkerProcess(
      WorkerProgram(
        path: "/bin/bash", arguments: ["-c", "eval \"exec $1>&-\"; sleep 0.5; kill -SEGV $$"]))
    var waits = 0
    let how = process.awaitEnd(SystemClock()) { waits += 1 }
    #expect(how.contains("signal 11"), "\(how)")
    #expect(waits > 0)
  }

  /// What ends it here is not told as its own end.
  @Test func oneThatDoesNotEndIsKilled() throws {
    let process = try WorkerProcess(
      WorkerProgram(path: "/bin/bash", arguments: ["-c", "sleep 1000"]))
    let clock = SkippingClock()
    #expect(process.awaitEnd(clock).hasPrefix("when it was killed"))
  }

  /// A second passes with each look.
  private final class SkippingClock: Clock, @unchecked Sendable {
    // Sendable: used by one thread.
    private var now_ns: UInt64 = 0
    func wallTime_ms() -> Int64 { 0 }
    func bootTime_ns() -> UInt64 {
      now_ns += 1_000_000_000
      return now_ns
    }
    func sleep(_ duration: Duration) {}
  }
}
