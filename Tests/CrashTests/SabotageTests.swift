import BenchmarkSupport
import Glibc
import SluiceShared
import Testing

/// What the crash rounds are worth: each way to leave out what a promise rests on is found by them
/// within so many rounds, and without any they find nothing.
@Suite("Crash rounds find what is left out", .serialized)
struct SabotageTests {
  @Test(
    "Each sabotage is found",
    arguments: [
      ("no-journal-sync", "lossy", 60), ("no-log-sync", "lossy", 24),
      ("no-checkpoint-sync", "lossy", 60), ("no-directory-sync", "lossy", 24),
      ("no-mark-check", "plain --only pause", 60), ("early-acknowledgement", "plain", 60),
    ])
  func sabotage(_ name: String, layer: String, rounds: Int) throws {
    let layer = ["--layer"] + layer.split(separator: " ").map(String.init)
    let run = try play(["--sabotage", name, "--rounds", "\(rounds)"] + layer)
    #expect(run.ending == .exited(1))
    #expect(run.output.contains { $0.hasPrefix("BROKEN") }, "\(run.output.suffix(10))")
  }

  @Test("Without, nothing is found", arguments: ["plain", "lossy"])
  func healthy(layer: String) throws {
    let run = try play(["--layer", layer, "--rounds", "12"])
    #expect(run.ending == .exited(0), "\(run.output.suffix(20))")
  }

  private func play(_ arguments: [String]) throws
    -> (ending: ChildProcess.Ending?, output: [String])
  {
    let work = try WorkDirectory(in: WorkDirectory.temporary, prefix: "sluice-crash")
    let process = try ChildProcess(
      "sluice-crash", try program(), arguments + ["--directory", work["stores"]],
      output: work["output"], log: work["log"])
    let ending = process.wait(atMost: .seconds(240))
    return (ending, try (readLines(work["output"]) + readLines(work["log"])).map(String.init))
  }

  /// Built with the tests: it lies beside them.
  private func program() throws -> String {
    let candidates = [try ownExecutable(), CommandLine.arguments[0]].map {
      directory(of: $0) + "/sluice-crash"
    }
    return try #require(candidates.first { access($0, X_OK) == 0 })
  }
}
