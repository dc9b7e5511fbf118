import ArgumentParser
import Glibc
import SluiceShared

/// Random SQL through the queue and directly through SQLite: every outcome and the whole database must
/// be the same.
@main
struct Differential: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sluice-differential",
    abstract: "Compares what the queue makes of random batches with what SQLite makes of them.")

  @Option(help: "The first seed.")
  var seed: UInt64 = 1
  @Option(help: "How many seeds.")
  var seeds: UInt64 = 20
  @Option(help: "Begin no seed after so many seconds.")
  var seconds: Int?
  @Option(help: "Terms of the applier in each seed.")
  var rounds = 4
  @Option(help: "Batches in each round.")
  var batches = 250
  @Option(help: "Where stores are made; on a file system in memory it is fast.")
  var directory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
  @Option(help: "In a debug build: a check that the applier leaves out, to see that it is missed.")
  var omit: String?
  @Flag(help: "Go on after a difference.")
  var keepGoing = false
  @Flag(help: "Print every batch and its outcome.")
  var show = false

  mutating func run() throws {
    let clock = ContinuousClock()
    let started = clock.now
    var counts = SeedRun.Counts()
    var failures = 0
    var done = 0
    for seed in seed..<seed + seeds {
      if let seconds, clock.now - started > .seconds(seconds) { break }
      let path = "\(directory)/sluice-differential-\(getpid())-\(seed)"
      defer { removeTree(path) }
      mkdir(path, 0o700)
      var options = SeedOptions()
      options.rounds = rounds
      options.batchesPerRound = batches
      options.shows = show
      options.omittedChecks = Set(omit.flatMap(SafetyCheck.init(rawValue:)).map { [$0] } ?? [])
      let run = try SeedRun(seed: seed, options: options, directory: path)
      do { try run.run() } catch {
        print("seed \(seed): \(error)")
        print(
          "  again: make differential SEED=\(seed) ARGS='--rounds \(rounds) --batches \(batches)'")
        failures += 1
        if !keepGoing { throw ExitCode.failure }
      }
      counts.add(run.counts)
      done += 1
    }
    report(counts, done, failures, clock.now - started)
    if failures > 0 { throw ExitCode.failure }
  }

  private func report(_ counts: SeedRun.Counts, _ seeds: Int, _ failures: Int, _ time: Duration) {
    let rate = Double(counts.batches) / time.inSeconds
    print(
      "\(seeds) seeds, \(counts.batches) batches in \(counts.commits) commits: \(counts.applied) applied, \(counts.duplicates) duplicates, \(failures) differences; \(Int(rate)) batches/s"
    )
    if counts.randomRowIDs > 0 {
      print("  \(counts.randomRowIDs) seeds ended early: the largest rowid was used")
    }
    for (code, count) in counts.rejected.sorted(by: { $0.value > $1.value }) {
      print("  \(count) rejected, \(code)")
    }
  }
}

/// Removes a directory and all in it.
private func removeTree(_ path: String) {
  if let stream = opendir(path) {
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { removeTree("\(path)/\(name)") }
    }
    closedir(stream)
    rmdir(path)
  } else {
    unlink(path)
  }
}
