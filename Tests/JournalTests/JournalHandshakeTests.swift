import SluiceShared
import SluiceSimulator
import Testing

/// Which schedules each check is needed for, the scenarios say (`ScenarioTests`).
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
      #expect(violation == nil, "make simulate KIND=journal SEED=\(seed) shows it")
      if violation != nil { return }
      acknowledged += run.acknowledged.count
      published += run.published.count
      removals += run.removals
    }
    #expect(
      min(acknowledged, published, removals) >= count, "\(acknowledged), \(published), \(removals)")
  }
}
