import BenchmarkSupport
import Glibc
import SluiceShared

/// Rows over NFS: two hosts with 3 ms to the file server and to each other, as `make nfs ARGS='-o speed'` has them. A round trip is a
/// synchronous write of a block, or a read of it past the cache, measured in the same run.
let networkRows: [Row] = ["ganesha", "knfsd"].enumerated().flatMap { place, server in
  let figures = NetworkFigures(server)
  func row(
    _ number: Int, _ work: String, _ against: String, _ aim: Row.Aim, _ unit: Row.Unit,
    _ round: @escaping @Sendable (Figures) throws -> Round
  ) -> Row {
    Row(
      number: 15 + 5 * place + number, work: "\(server), 3 ms: \(work)", against: against, aim: aim,
      unit: unit, isLong: true
    ) { _ in
      do { return try round(Figures(figures.measured())) } catch let missing as Figures.Missing {
        throw RunError("\(server): \(missing.name) was not measured")
      }
    }
  }
  return [
    row(1, "a lone submit, durable", "the two round trips", .atMost(1.15), .microseconds) {
      try $0.alone("durable", trips: 2, hints: 0)
    },
    row(
      2, "the same, applied", "the six round trips that it needs", .atMost(1.3), .microseconds
    ) { try $0.alone("applied", trips: 6, hints: 2) },
    row(
      3, "visible to another host's latest read then", "one round trip", .atMost(1.15),
      .microseconds
    ) { try $0.alone("latest", trips: 1, hints: 0) },
    row(
      4, "8 busy processes on two hosts, applied", "a lock around each write", .atLeast(1000),
      .perSecond
    ) { try $0.busy() },
    row(5, "READs then", "WRITEs", .atMost(1), .perSecond) { try $0.requests() },
  ]
}

/// What was measured on one file server: microseconds, writes a second, per cent.
private struct Figures {
  struct Missing: Error { let name: String }

  private let all: [String: Double]
  init(_ all: [String: Double]) { self.all = all }

  func callAsFunction(_ name: String) throws -> Double {
    guard let value = all[name] else { throw Missing(name: name) }
    return value
  }

  /// So many round trips, of which half are writes where there are several; and hints, half a round trip each.
  func alone(_ name: String, trips: Double, hints: Double) throws -> Round {
    let ours = try self(name)
    let (pair, read) = (try self("trips"), try self("read"))
    let baseline = trips == 1 ? read : pair * trips / 2
    let limit = baseline + hints * read / 2
    let rest = ours - limit
    let way = hints > 0 ? " and the way of \(fixed(hints, 0)) hints" : ""
    return Round(
      ours: ours, baseline: baseline,
      notes: [
        ("a bare write", time(microseconds: pair - read)),
        ("a bare read", time(microseconds: read)),
      ],
      limit: ("the bare round trips\(way), one after another", limit),
      cause:
        "\(time(microseconds: rest)) are spent beside the round trips\(way), \(time(microseconds: rest / trips)) each, on hosts with one processor, on which process, kernel and network take turns; the writer's was busy for \(fixed(try self("processor"), 0)) %"
    )
  }

  func busy() throws -> Round {
    let (ours, baseline, working) = (try self("busy"), try self("locked"), try self("working"))
    // As long as nothing else is its limit.
    let limit = ours * 100 / max(1, working)
    return Round(
      ours: ours, baseline: baseline,
      limit: ("if the applier's host had nothing to wait for", limit),
      cause:
        "the applier's host has one processor, busy for \(fixed(working, 0)) %, for four writers, the applier and the process that executes: \(time(microseconds: working * 10_000 / ours)) of it a batch"
    )
  }
}

extension Figures {
  /// What both hosts ask of the file server under that load.
  fileprivate func requests() throws -> Round {
    let (reads, writes) = (try self("reads"), try self("writes"))
    let (writerReads, flushes) = (try self("writer-reads"), max(1, try self("writer-writes")))
    // Of the applier: a commit and a beacon each time.
    let commits = max(1, (writes - flushes) / 2)
    let seconds = try self("seconds")
    // A writer reads its mark behind the flush, then beacon and commit for the outcome; the applier reads the flush, and
    // its own mark behind the commit.
    let needed = 4 * flushes + commits
    func each(_ count: Double, _ of: Double) -> String { fixed(count / of, 2) }
    return Round(
      ours: reads / seconds, baseline: writes / seconds,
      limit: ("what the protocol needs", needed / seconds),
      cause:
        "\(fixed(flushes, 0)) flushes shared \(fixed(commits, 0)) commits, \(each(flushes, commits)) each. A flush is a write, and its mark, its frame, the beacon and the commit with its outcome are read: 4; a commit is two writes, and its mark is read. That makes \(each(needed, writes)) READs a WRITE. The writers asked for \(each(writerReads, flushes)) READs a flush where 3 are needed, the applier for \(each(max(0, reads - writerReads), flushes + commits)) a flush or commit where 1 is"
    )
  }
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
