import BenchmarkSupport
import Glibc
import SluiceFakes
import SluiceShared

/// All rounds of a run, store after store, until one shows something wrong.
final class Campaign {
  struct Report {
    var lines: [String]
    var violations: [String]
  }

  private let options: Run
  private let seed: UInt64
  private let directory: String
  private let executable: String
  private let clock = SystemClock()
  private var catalog = Catalog()
  private var figures = Figures()
  private var played = 0
  private var stores: UInt64 = 0
  /// What to say of a failure: where and how to see it again.
  private var failure: [String] = []

  init(_ options: Run) throws {
    self.options = options
    seed = options.seed ?? UInt64.random(in: 1...999_999_999)
    executable = try ownExecutable()
    var path = options.directory
    if !path.hasPrefix("/") {
      path = try PosixFileSystem().readSymbolicLink("/proc/self/cwd") + "/" + path
    }
    mkdir(path, 0o755)
    directory = path
  }

  func play() throws -> Report {
    say("seed \(seed)")
    let began = clock.elapsed()
    var violations = try explore()
    while played < options.rounds, violations.isEmpty { violations = try playNext(options.at) }
    if options.isComplete {
      if violations.isEmpty { violations = try playMissing() }
      if violations.isEmpty { violations = try playSurvived() }
      if violations.isEmpty, options.layer != .plain { violations = try playUnlost() }
      if violations.isEmpty { violations = doubts() }
    }
    let seconds = (clock.elapsed() - began).inSeconds
    var lines = catalog.lines() + [""] + figures.lines(seconds: seconds)
    if violations.isEmpty {
      lines.append("Nothing was lost: every promise was kept.")
    } else {
      lines += ["", "BROKEN (\(violations.count)):"] + violations.prefix(12).map { "  \($0)" }
      lines += failure
    }
    return Report(lines: lines, violations: violations)
  }

  /// The rounds of the next store.
  private func playNext(_ target: Target?, losing: Bool = false) throws -> [String] {
    defer { stores += 1 }
    let isLossy =
      losing || options.layer == .lossy || (options.layer == .both && stores % 2 == 1)
    return try play(seed: seed &+ stores, isLossy: isLossy, target)
  }

  /// Deaths at the points that chance left out: one store for each.
  private func playMissing() throws -> [String] {
    for target in Coverage.missing(catalog, rounds: options.rounds) {
      let violations = try playNext(target)
      guard violations.isEmpty else { return violations }
      if catalog.deaths(of: target.role, at: target.point) == 0 {
        return ["nobody dies as \(target), in a store's rounds that were only about that"]
      }
    }
    return []
  }

  /// Deaths at further points that processes came to in a full run.
  private func playSurvived() throws -> [String] {
    guard options.rounds >= Coverage.allRounds else { return [] }
    for target in catalog.survived {
      let violations = try playNext(target)
      guard violations.isEmpty else { return violations }
      if catalog.deaths(at: target) == 0 {
        return ["processes come to \(target), and nobody dies there, also where that is wanted"]
      }
    }
    return []
  }

  /// Power failures after deaths that leave something of what was never lost.
  private func playUnlost() throws -> [String] {
    for loss in Coverage.unlost(figures.lost, rounds: options.rounds) {
      for _ in 0..<Self.mostTries / 2 where figures.lost[loss.what] == nil {
        let violations = try playNext(loss.target, losing: true)
        guard violations.isEmpty else { return violations }
      }
      if figures.lost[loss.what] == nil {
        return [
          "no power failure takes back anything of \(loss.what), also after deaths as \(loss.target)"
        ]
      }
    }
    return []
  }

  /// What a run would be worth nothing with.
  private func doubts() -> [String] {
    if options.rounds >= Coverage.allRounds, figures.creationsKilled == 0 {
      return ["no maker of a store was killed at work"]
    }
    // Fewer may by chance have come when all was synced.
    guard figures.powerFailures >= 100 else { return [] }
    let failed = "power failed \(figures.powerFailures) times"
    if figures.blocksLost == 0 || figures.namesLost == 0 {
      return [
        "\(failed) and took back \(figures.blocksLost) blocks and \(figures.namesLost) names"
      ]
    }
    guard options.rounds >= Coverage.allRounds else { return [] }
    let points = figures.diedInRecovery.count
    guard points < Coverage.recoveryPoints else { return [] }
    return ["\(failed), and appliers that went on after that died at \(points) points only"]
  }

  /// Undisturbed rounds until it is known which points there are.
  private func explore() throws -> [String] {
    let work = try WorkDirectory(in: directory, prefix: "first")
    work.isKept = true
    var random = SeededRandom(seed: 1)
    let life = try Life(work, seed: 1, isLossy: false, executable: executable, sabotage: nil)
    try life.begin(&figures, &catalog)
    var violations: [String] = []
    for _ in 0..<20 where violations.isEmpty && !catalog.isKnown {
      violations = try life.play(
        RoundPlan(.undisturbed, catalog, isLossy: false, &random), &catalog, &figures)
    }
    if violations.isEmpty { violations = try life.end(&figures) }
    if !catalog.isKnown { violations.append("undisturbed rounds do not come to all points") }
    work.isKept = !violations.isEmpty
    return violations + (work.isKept ? ["undisturbed, the store: \(work.path)"] : [])
  }

  /// The rounds of one store; returns what is wrong.
  private func play(seed: UInt64, isLossy: Bool, _ target: Target?) throws -> [String] {
    let work = try WorkDirectory(in: directory, prefix: "store")
    // Said before, for a run that ends without a word.
    say("store \(seed), \(isLossy ? "power fails" : "plain")\(target.map { ", at \($0)" } ?? "")")
    // Kept unless all comes out well, also where something throws.
    work.isKept = true
    // Neighbouring seeds give the same numbers, shifted by one.
    var spread = SeededRandom(seed: seed)
    var random = SeededRandom(seed: spread.next())
    var plan = "creation"
    var violations: [String] = []
    var round = 0
    let deaths = catalog.deaths(at: target)
    do {
      violations = try playCreation(&random, isLossy: isLossy, target)
      let life = try Life(
        work, seed: random.next(), isLossy: isLossy, executable: executable,
        sabotage: options.sabotage)
      if violations.isEmpty { try life.begin(&figures, &catalog) }
      while mayGoOn(round, target, deaths), violations.isEmpty {
        round += 1
        played += 1
        let next = RoundPlan(kind(&random), catalog, isLossy: isLossy, at: target, &random)
        plan = "\(next)"
        violations = try life.play(next, &catalog, &figures)
      }
      if violations.isEmpty {
        plan = "the end"
        violations = try life.end(&figures)
      }
    } catch {
      violations.append("\(error)")
    }
    work.isKept = !violations.isEmpty
    if work.isKept {
      failure = [
        "seed \(seed)\(isLossy ? " (power fails)" : ""), round \(round): \(plan)",
        "the store and what the processes said: \(work.path)",
        "again: make crash SEED=\(seed) ROUNDS=\(max(1, round)) ARGS='\(arguments(isLossy, target))'",
      ]
    }
    return violations
  }

  private func arguments(_ isLossy: Bool, _ target: Target?) -> String {
    var words = "--layer \(isLossy ? "lossy" : "plain") --age \(options.age)"
    if let only = options.only { words += " --only \(only.rawValue)" }
    if let target { words += " --at \(target)" }
    if let sabotage = options.sabotage { words += " --sabotage \(sabotage.rawValue)" }
    return words
  }

  /// Whether a store that was in so many rounds has another one; one with a target until somebody
  /// has died there, in addition to those before.
  private func mayGoOn(_ rounds: Int, _ target: Target?, _ deaths: Int) -> Bool {
    guard target != nil, options.at == nil else {
      return rounds < options.age && played < options.rounds
    }
    return rounds < Self.mostTries && catalog.deaths(at: target) == deaths
  }

  /// Enough for what happens in some rounds only, such as a checkpoint.
  private static let mostTries = 40

  private func playCreation(_ random: inout SeededRandom, isLossy: Bool, _ target: Target?) throws
    -> [String]
  {
    for _ in 0..<2 {
      let work = try WorkDirectory(in: directory, prefix: "creation")
      work.isKept = true
      var plan =
        random.below(4) == 0 ? nil : catalog.choose(.die, .creator, isLossy: isLossy, &random)
      if let target, target.role == .creator { plan = target.plan(&random) }
      let creation = Creation(
        work: work, isLossy: isLossy, executable: executable, sabotage: options.sabotage)
      let violations = try creation.play(plan, &random, &catalog, &figures)
      work.isKept = !violations.isEmpty
      if work.isKept { return violations + ["the store: \(work.path)"] }
    }
    return []
  }

  private func kind(_ random: inout SeededRandom) -> RoundPlan.Kind {
    if let only = options.only { return only }
    return switch random.below(20) {
    case 0..<6: .point
    case 6..<10: .each
    case 10..<12: .chain
    case 12..<14: .random
    case 14..<16: .together
    case 16: random.below(2) == 0 ? .together : .quarantine
    case 17..<19: .pause
    default: random.below(4) == 0 ? .undisturbed : .pause
    }
  }
}
