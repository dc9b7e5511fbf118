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
  var omit: SafetyCheck?
  @Flag(help: "Go on after a difference.")
  var keepGoing = false
  @Flag(help: "Print every batch and its outcome.")
  var show = false

  func validate() throws {
    guard seeds > 0, rounds > 0, batches > 0 else {
      throw ValidationError("Without seeds, rounds and batches nothing is compared.")
    }
    guard let omit else { return }
    var environment = Environment.posix()
    environment.omittedChecks = [omit]
    guard !environment.makes(omit) else {
      throw ValidationError("This build makes every check; --omit needs a debug build.")
    }
  }

  func run() throws {
    let clock = ContinuousClock()
    let started = clock.now
    var counts = SeedRun.Counts()
    var failures = 0
    var done = 0
    for seed in (0..<seeds).lazy.map({ seed &+ $0 }) {
      if done > 0, let seconds, clock.now - started > .seconds(seconds) { break }
      // Now, since a trap says nothing.
      print("seed \(seed)")
      fflush(nil)
      let path = "\(directory)/sluice-differential-\(getpid())-\(seed)"
      Interruption.prepare(
        removing: path, saying: "seed \(seed) was cut short\n  again: \(command(seed))")
      defer { removeTree(path) }
      mkdir(path, 0o700)
      let run = try SeedRun(seed: seed, options: options, directory: path)
      do { try run.run() } catch {
        print("seed \(seed): \(error)\n  again: \(command(seed))")
        failures += 1
        if !keepGoing { throw ExitCode.failure }
      }
      counts.add(run.counts)
      done += 1
    }
    report(counts, done, failures, clock.now - started)
    if failures > 0 { throw ExitCode.failure }
    if counts.endedEarly > Self.mostEndedEarly(of: done) {
      print("Too many seeds ended early: they compare little.")
      throw ExitCode.failure
    }
  }

  private var options: SeedOptions {
    var options = SeedOptions()
    options.rounds = rounds
    options.batchesPerRound = batches
    options.shows = show
    options.omittedChecks = Set(omit.map { [$0] } ?? [])
    return options
  }

  /// Plays one seed again.
  private func command(_ seed: UInt64) -> String {
    let sizes = "--rounds \(rounds) --batches \(batches)"
    guard let omit else { return "make differential SEED=\(seed) ARGS='\(sizes)'" }
    return "swift run sluice-differential --seed \(seed) --seeds 1 \(sizes) --omit \(omit)"
  }

  /// One in forty does.
  private static func mostEndedEarly(of seeds: Int) -> Int { 2 + seeds / 10 }

  private func report(_ counts: SeedRun.Counts, _ seeds: Int, _ failures: Int, _ time: Duration) {
    let rate = Double(counts.batches) / time.inSeconds
    print(
      "\(seeds) seeds, \(counts.batches) batches in \(counts.commits) commits: \(counts.applied) applied, \(counts.duplicates) duplicates, \(failures) differences; \(Int(rate)) batches/s"
    )
    print(
      "  replayed \(counts.replayedCommits) commits, \(counts.commitsWithSamePages) of them with the same pages, the content of the others compared \(counts.comparedContents) times; \(counts.pastStates.same) states of the past read, restored and replayed, \(counts.pastStates.gone) not kept"
    )
    if counts.endedEarly > 0 {
      print("  \(counts.endedEarly) seeds ended early")
    }
    for (code, count) in counts.rejected.sorted(by: { $0.value > $1.value }) {
      print("  \(count) rejected, \(code)")
    }
  }
}

extension SafetyCheck: ExpressibleByArgument {}

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
