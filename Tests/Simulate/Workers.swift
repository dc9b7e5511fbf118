import Foundation
import SluiceShared
import SluiceSimulator

/// Several processes of this program that share the seeds.
struct Workers {
  let jobs: Int

  struct Result {
    var seeds: UInt64 = 0
    var statistics = World.Statistics()
    var violations: [(seed: UInt64, violation: Violation)] = []
  }

  func run(
    first: UInt64, count: UInt64, omitting check: SafetyCheck? = nil,
    kind: Simulation.Kind = .system
  ) throws -> Result {
    let workers = try (0..<UInt64(jobs)).map { i in
      var arguments = [
        "worker", "--first", "\(first + i)", "--step", "\(jobs)", "--last", "\(first + count - 1)",
        "--kind", kind.rawValue,
      ]
      if let check { arguments += ["--without", check.rawValue] }
      return try start(arguments, on: Int(i))
    }
    // All at once: a pipe that nobody reads would hold its process up.
    let texts = Monitor([String](repeating: "", count: workers.count))
    let outputs = workers.map(\.1)
    ThreadExecutor(threadLimit: workers.count).concurrently(workers.count) { i in
      let text = String(decoding: outputs[i].readDataToEndOfFile(), as: UTF8.self)
      texts.withLock { $0[i] = text }
    }
    var result = Result()
    for ((process, _), text) in zip(workers, texts.withLock({ $0 })) {
      process.waitUntilExit()
      var isDone = false
      var seed = ""
      for line in text.split(separator: "\n") {
        let words = line.split(separator: " ", maxSplits: 3)
        if words.first == "violation", words.count == 4, let seed = UInt64(words[1]),
          let kind = Violation.Kind(rawValue: String(words[2]))
        {
          result.violations.append((seed, Violation(kind, String(words[3]))))
        } else if words.first == "run", words.count == 2 {
          seed = String(words[1])
        } else if words.first == "done" {
          isDone = true
          add(line.split(separator: " ").dropFirst().compactMap { Int($0) }, to: &result)
        }
      }
      if !isDone {
        throw StoreError(
          .io,
          "a simulating process ended with \(process.terminationReason == .uncaughtSignal ? "signal" : "status") \(process.terminationStatus) in seed \(seed) (\(kind.rawValue)); 14: it took too long"
        )
      }
    }
    return result
  }

  private func add(_ numbers: [Int], to result: inout Result) {
    guard let seeds = numbers.first, let statistics = World.Statistics(Array(numbers.dropFirst()))
    else { preconditionFailure("a simulating process counts something else: \(numbers)") }
    result.seeds += UInt64(seeds)
    result.statistics = result.statistics + statistics
  }

  private static let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()

  private func start(_ arguments: [String], on place: Int) throws -> (Process, FileHandle) {
    let process = Process()
    let pinning = Workers.pinning(place)
    let words = pinning + [Workers.program.path] + arguments
    process.executableURL = URL(fileURLWithPath: words[0])
    process.arguments = Array(words.dropFirst())
    var environment = ProcessInfo.processInfo.environment
    environment["SWIFT_BACKTRACE"] = "enable=no"
    environment["SWIFT_DETERMINISTIC_HASHING"] = "1"
    // One thread runs at a time: it needs no memory of its own, and keeps what it had.
    environment["MALLOC_ARENA_MAX"] = "1"
    environment["MALLOC_TRIM_THRESHOLD_"] = "268435456"
    environment["MALLOC_MMAP_THRESHOLD_"] = "268435456"
    process.environment = environment
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    return (process, pipe.fileHandleForReading)
  }

  /// Keeps a process to one processor, where that can be had: only one of its threads runs at a
  /// time, and passing the baton to another processor takes longer than most of what is done with it.
  private static func pinning(_ place: Int) -> [String] {
    let words = [
      "/usr/bin/taskset", "-c", "\(place % ProcessInfo.processInfo.activeProcessorCount)",
    ]
    let trial = Process()
    trial.executableURL = URL(fileURLWithPath: words[0])
    trial.arguments = Array(words.dropFirst()) + ["/bin/true"]
    trial.standardError = FileHandle.nullDevice
    guard (try? trial.run()) != nil else { return [] }
    trial.waitUntilExit()
    return trial.terminationStatus == 0 ? words : []
  }
}
