import SluiceShared
import SluiceSimulator
import Testing

@Suite("One history, whoever believes to lead, and latest reads see all of it")
struct LogHandshakeTests {
  @Test func everyHistoryIsAPrefixOfEveryOther() {
    var commits = 0
    var claims = 0
    var reads = 0
    let count = seeds(200)
    for seed in 0..<count {
      let run = LogRun(seed: UInt64(seed), omitting: [], mistake: nil)
      let violation = run.run()
      #expect(
        violation == nil,
        "seed \(seed): \(violation.map(\.description) ?? ""); make simulate KIND=log SEED=\(seed) shows it"
      )
      if violation != nil { return }
      commits += run.believed.count
      claims += run.claims
      reads += run.reads
    }
    // The runs must be worth something.
    #expect(min(commits, claims, reads) >= count, "\(commits), \(claims), \(reads)")
  }

  /// Each check is left out once, and is missed within so many seeds.
  ///
  /// Without `parentByStart` it takes three appliers that stop at the wrong moments, so one seed in
  /// ten thousand shows it: the range begins shortly before one that does.
  @Test(arguments: [
    (SafetyCheck.markAfterFrame, 0..<100), (.markAfterStart, 0..<500),
    (.markBeforeReading, 0..<500), (.markDownToStart, 0..<100), (.parentByStart, 5700..<8000),
    (.publishBeforeAcknowledging, 0..<200), (.newSegmentAfterError, 0..<500),
    (.lookBehindMark, 0..<100),
  ])
  func aCheckLeftOutIsMissed(check: SafetyCheck, within seeds: Range<Int>) {
    let seed = firstSeed(of: seeds, "without \(check)", LogHandshakeTests.isBreach) {
      LogRun(seed: $0, omitting: [check], mistake: nil).run()
    }
    #expect(seed != nil)
  }

  /// That a life ends with an error, or takes too long, is none.
  private static func isBreach(_ kind: Violation.Kind) -> Bool {
    [.twoHistories, .staleRead, .publishedIsGone].contains(kind)
  }

  @Test(arguments: LogMistake.allCases)
  func aMistakeIsSeen(mistake: LogMistake) {
    let omitted: Set<SafetyCheck> = mistake == .publishBeforeCheck ? [.markAfterFrame] : []
    let seed = firstSeed(of: 0..<200, "\(mistake)", LogHandshakeTests.isBreach) {
      LogRun(seed: $0, omitting: omitted, mistake: mistake).run()
    }
    #expect(seed != nil)
  }
}
