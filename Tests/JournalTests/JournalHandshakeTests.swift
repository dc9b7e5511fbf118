import SluiceShared
import SluiceSimulator
import Testing

@Suite("What a flush returned for is never lost")
struct JournalHandshakeTests {
  @Test func everythingAcknowledgedIsPublishedOrStillThere() {
    var acknowledged = 0
    var published = 0
    var removals = 0
    let count = seeds(200)
    for seed in 0..<count {
      let run = JournalRun(seed: UInt64(seed), omitting: [])
      let violation = run.run()
      #expect(
        violation == nil,
        "seed \(seed): \(violation.map(\.description) ?? ""); make simulate KIND=journal SEED=\(seed) shows it"
      )
      if violation != nil { return }
      acknowledged += run.acknowledged.count
      published += run.published.count
      removals += run.removals
    }
    #expect(
      min(acknowledged, published, removals) >= count, "\(acknowledged), \(published), \(removals)")
  }

  @Test(arguments: [
    (SafetyCheck.markAfterFlush, 500), (.flushBeforeMark, 500), (.rereadAfterMark, 500),
    (.removeOnlyPublished, 500),
  ])
  func aCheckLeftOutIsMissed(check: SafetyCheck, within limit: Int) {
    let seed = firstSeed(of: 0..<limit, "without \(check)", { $0 == .lost }) {
      JournalRun(seed: $0, omitting: [check]).run()
    }
    #expect(seed != nil)
  }
}
