import BenchmarkSupport
import Glibc
import SluiceShared

/// Rows over NFS: two hosts with 3 ms to the file server and to each other, as `make nfs ARGS='-o speed'` has them. A round trip is a
/// synchronous write of a block, or a read of it past the cache, measured in the same run.
let networkRows: [Row] = ["ganesha", "knfsd"].enumerated().flatMap { place, server in
  let figures = NetworkFigures(server)
  func row(
    _ number: Int, _ work: String, _ against: String, _ aim: Row.Aim, _ unit: Row.Unit,
    _ cause: String, _ round: @escaping @Sendable ([String: Double]) -> (Double?, Double?)
  ) -> Row {
    Row(
      number: 15 + 4 * place + number, work: "\(server), 3 ms: \(work)", against: against, aim: aim,
      unit: unit, cause: cause, isLong: true
    ) { _ in
      let all = try figures.measured()
      guard case (let ours?, let baseline?) = round(all) else {
        throw RunError("\(server): not everything was measured: \(all)")
      }
      return Round(ours: ours, baseline: baseline)
    }
  }
  let turns =
    "a host of the testbed has one processor, on which writer, kernel and network take turns between two round trips"
  return [
    row(1, "a lone submit, durable", "the two round trips", .atMost(1.15), .microseconds, turns) {
      ($0["durable"], $0["trips"])
    },
    row(
      2, "the same, applied", "the six round trips that it needs", .atMost(1.3), .microseconds,
      "two hints on the way, each half a round trip long, and \(turns)"
    ) { ($0["applied"], $0["trips"].map { $0 * 3 }) },
    row(
      3, "visible to a latest read then", "one round trip", .atMost(1.15), .microseconds, turns
    ) { ($0["latest"], $0["read"]) },
    row(
      4, "8 busy processes on two hosts, applied", "a lock around each write", .atLeast(1000),
      .perSecond,
      "the applier's host has one processor, for four writers, the applier and the process that executes"
    ) { ($0["busy"], $0["locked"]) },
  ]
}

/// What one run on one file server measured, once for all rows. Microseconds, and writes a second.
private final class NetworkFigures: Sendable {
  private let server: String
  private let known = Monitor<Swift.Result<[String: Double], any Error>?>(nil)

  init(_ server: String) { self.server = server }

  func measured() throws -> [String: Double] {
    if let known = known.withLock({ $0 }) { return try known.get() }
    let result = Swift.Result { try measure() }
    known.withLock { $0 = result }
    return try result.get()
  }

  private func measure() throws -> [String: Double] {
    let script = "Tests/nfs/run.sh"
    guard access(script, R_OK) == 0 else {
      throw Skipped(reason: "\(script) is not there: start this in the repository")
    }
    let state = ".build/nfs/\(server)"
    let parent = try BenchmarkSupport.directory(of: ownExecutable())
    let work = try WorkDirectory(in: parent, prefix: "sluice-bench")
    let run = try ChildProcess(
      script, "/bin/bash", [script, "-o", "speed", server], output: work["out"], log: work["log"])
    let ending = run.wait(atMost: .seconds(2700))
    let said = try readLines(work["out"])
    if let skipped = said.last(where: { $0.contains("SKIPPED, ") }) {
      throw Skipped(reason: String(skipped))
    }
    guard ending == .exited(0) else {
      throw RunError("\(script) failed; what it said is under \(state)")
    }
    var figures: [String: Double] = [:]
    for line in try readLines("\(state)/run/speed.figures") {
      let words = line.split(separator: " ")
      guard words.count == 2, let value = Double(words[1]) else { continue }
      figures[String(words[0])] = value
    }
    return figures
  }
}
