import BenchmarkSupport
import Glibc
import SluiceShared
import Testing

/// What the crash rounds are worth: each way to leave out what a promise rests on is found by them
/// within so many rounds, for what it breaks, and without any they find nothing.
@Suite("Crash rounds find what is left out", .serialized)
struct SabotageTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var sabotage: String
    var options: String
    var rounds: Int
    /// What one of the complaints has to contain.
    var complaints: [String]

    var testDescription: String { sabotage }
  }

  @Test(
    "Each sabotage is found",
    arguments: [
      Case(
        sabotage: "no-journal-sync", options: "--layer lossy", rounds: 60,
        complaints: [
          "LOST: ", "expiredWriter", "is in quarantine, and nothing happened to its writer",
        ]),
      Case(
        sabotage: "no-log-sync", options: "--layer lossy", rounds: 24,
        complaints: ["LOST: ", "the history says", "the history ends with", "/disk/store/log"]),
      Case(
        sabotage: "no-checkpoint-sync", options: "--layer lossy", rounds: 60,
        complaints: ["/disk/store/checkpoints", "/disk/store/current.sqlite"]),
      Case(
        sabotage: "no-directory-sync", options: "--layer lossy", rounds: 24,
        complaints: [
          "LOST: ", "expiredWriter", "the history says", "the history ends with",
          "the history has another batch there", "had to be next", "/disk/store/log",
          "/disk/store/checkpoints", "/disk/store/current.sqlite",
        ]),
      Case(
        sabotage: "no-length-sync", options: "--layer lossy", rounds: 60,
        complaints: [
          "LOST: ", "expiredWriter", "is in quarantine, and nothing happened to its writer",
        ]),
      Case(
        sabotage: "no-mark-check", options: "--layer plain --only pause", rounds: 60,
        complaints: ["LOST: ", "TWICE: ", "expiredWriter"]),
      Case(
        sabotage: "early-acknowledgement", options: "--layer plain", rounds: 60,
        complaints: ["LOST: "]),
      Case(
        sabotage: "trap", options: "--layer plain", rounds: 24,
        complaints: ["a trap on purpose"]),
    ])
  func sabotage(_ test: Case) throws {
    let run = try play(
      ["--sabotage", test.sabotage, "--rounds", "\(test.rounds)"]
        + test.options.split(separator: " ").map(String.init))
    #expect(run.ending == .exited(1), "seed \(run.seed)")
    let complaints = run.output.drop { !$0.hasPrefix("BROKEN") }.filter { $0.hasPrefix("  ") }
    #expect(
      complaints.contains { complaint in test.complaints.contains { complaint.contains($0) } },
      "seed \(run.seed): \(run.output.suffix(20))")
  }

  @Test("Without, nothing is found", arguments: ["plain", "lossy"])
  func healthy(layer: String) throws {
    let run = try play(["--layer", layer, "--rounds", "12"])
    #expect(run.ending == .exited(0), "seed \(run.seed): \(run.output.suffix(20))")
  }

  private struct Outcome {
    var seed: UInt64
    /// nil: it did not end in time.
    var ending: ChildProcess.Ending?
    var output: [String]
  }

  private func play(_ arguments: [String]) throws -> Outcome {
    let work = try WorkDirectory(in: WorkDirectory.temporary, prefix: "sluice-crash")
    let seed = UInt64.random(in: 1...999_999_999)
    let process = try ChildProcess(
      "sluice-crash", try program(),
      arguments + ["--seed", "\(seed)", "--directory", work["stores"]],
      output: work["output"], log: work["log"])
    let ending = process.wait(atMost: .seconds(1200))
    let output = try readLines(work["output"]) + readLines(work["log"])
    return Outcome(seed: seed, ending: ending, output: output.map(String.init))
  }

  /// Built with the tests: it lies beside them.
  private func program() throws -> String {
    let candidates = [try ownExecutable(), CommandLine.arguments[0]].map {
      directory(of: $0) + "/sluice-crash"
    }
    return try #require(candidates.first { access($0, X_OK) == 0 })
  }
}
