import Glibc
import SluiceShared
import Testing

/// How many schedules are tried: `SLUICE_SEEDS`, or few enough for every build.
func seeds(_ standard: Int) -> Int {
  getenv("SLUICE_SEEDS").flatMap { Int(String(cString: $0)) } ?? standard
}

@Suite("One history, whoever believes to lead, and latest reads see all of it")
struct LogHandshakeTests {
  @Test func everyHistoryIsAPrefixOfEveryOther() {
    var commits = 0
    var claims = 0
    var reads = 0
    for seed in 0..<seeds(400) {
      let run = LogRun(seed: UInt64(seed), omitting: [], mistake: nil)
      let violation = run.run()
      #expect(violation == nil, "seed \(seed)")
      if violation != nil { return }
      commits += run.believed.count
      claims += run.claims
      reads += run.reads
    }
    // The runs must be worth something.
    #expect(commits > 400 && claims > 400 && reads > 400)
    if getenv("SLUICE_SEEDS") != nil { print("\(commits) commits, \(claims) claims, \(reads) reads") }
  }

  /// Each check is left out once, and is missed within so many seeds.
  @Test(arguments: [
    (SafetyCheck.markAfterFrame, 2000), (.markAfterStart, 2000), (.markBeforeReading, 2000),
    (.markDownToStart, 2000), (.parentByStart, 2000), (.newSegmentAfterError, 2000),
    (.lookBehindMark, 2000),
  ])
  func aCheckLeftOutIsMissed(check: SafetyCheck, within limit: Int) {
    #expect(firstSeed(omitting: [check], nil, limit) != nil)
  }

  @Test(arguments: zip(LogMistake.allCases, [2000, 2000, 2000]))
  func aMistakeIsSeen(mistake: LogMistake, within limit: Int) {
    let omitted: Set<SafetyCheck> = mistake == .publishBeforeCheck ? [.markAfterFrame] : []
    #expect(firstSeed(omitting: omitted, mistake, limit) != nil)
  }

  private func firstSeed(omitting checks: Set<SafetyCheck>, _ mistake: LogMistake?, _ limit: Int)
    -> Int?
  {
    if getenv("SLUICE_MUT") != nil {
      var hits: [Int] = []
      for seed in 0..<(checks == [.parentByStart] ? 12000 : 3000) {
        guard let violation = LogRun(seed: UInt64(seed), omitting: checks, mistake: mistake).run()
        else { continue }
        if hits.count < 8 { print("\(checks.map(\.rawValue)) \(mistake.map(\.rawValue) ?? ""): seed \(seed): \(violation)") }
        hits.append(seed)
        if hits.count > 20 { break }
      }
      print("\(checks.map(\.rawValue)) \(mistake.map(\.rawValue) ?? ""): \(hits)")
      return hits.first
    }
    for seed in 0..<limit {
      guard
        let violation = LogRun(seed: UInt64(seed), omitting: checks, mistake: mistake).run()
      else { continue }
      if getenv("SLUICE_SEEDS") != nil {
        print("\(checks.map(\.rawValue)) \(mistake.map(\.rawValue) ?? ""): seed \(seed): \(violation)")
      }
      return seed
    }
    return nil
  }
}
