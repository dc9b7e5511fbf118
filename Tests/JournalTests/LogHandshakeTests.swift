import SluiceShared
import SluiceSimulator
import Testing

/// Which schedules each check is needed for, the scenarios say (`ScenarioTests`).
@Suite("One history, whoever believes to lead, and latest reads see all of it")
struct LogHandshakeTests {
  @Test func everyHistoryIsAPrefixOfEveryOther() {
    var commits = 0
    var claims = 0
    var reads = 0
    let count = seeds(200)
    for seed in 0..<count {
      let run = LogRun(seed: UInt64(seed), omitting: [])
      let violation = run.run()
      #expect(violation == nil, "make simulate KIND=log SEED=\(seed) shows it")
      if violation != nil { return }
      commits += run.believed.count
      claims += run.claims
      reads += run.reads
    }
    // The runs must be worth something.
    #expect(min(commits, claims, reads) >= count, "\(commits), \(claims), \(reads)")
  }
}
