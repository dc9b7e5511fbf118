import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceApplier

/// A leader at rest makes few beats, and its standby looks seldom: nobody waits the longer for that when its host dies.
@Suite("A leader that dies at rest is followed within its lease and two seconds")
struct IdleTakeoverTests {
  private static let lease = Duration.seconds(10)

  private func resting(onTable: Bool, hints: IdlePair.Reach) throws -> IdlePair {
    let pair = try IdlePair(lease: Self.lease, onTable: onTable, hints: hints)
    if hints != .nowhere { try pair.write(3 * Limits.leastHintProof) }
    try pair.run(.seconds(1200))
    return pair
  }

  @Test(arguments: [false, true], IdlePair.Reach.allCases)
  func atAnyMoment(onTable: Bool, hints: IdlePair.Reach) throws {
    var longest = Duration.zero
    // The moments lie at all distances from its last beat or renewal, and from the standby's last look.
    for moment in 0..<20 {
      let pair = try resting(onTable: onTable, hints: hints)
      longest = max(longest, try pair.takeOver(in: .milliseconds(moment * 1540)))
    }
    print("on a table: \(onTable), hints: \(hints): led again after \(longest)")
    // The rest of the two seconds is for what takes no time here: reads, the claim, the first commit.
    #expect(longest <= Self.lease + .milliseconds(1700))
  }

  @Test("Whom only its host reaches makes its beats as often as without hints")
  func ofOneHost() throws {
    for hints in [IdlePair.Reach.nowhere, .host] {
      #expect(
        try resting(onTable: false, hints: hints).beacon().status.nextBeat_ms == 4000, "\(hints)")
    }
    #expect(
      try resting(onTable: false, hints: .network).beacon().status.nextBeat_ms == 30_000)
  }

  @Test("Where answers are lost, the leader makes its beats again, and nobody claims")
  func lostAnswers() throws {
    let pair = try resting(onTable: false, hints: .network)
    let before = try pair.beacon().counter
    pair.loseAnswers()
    // Throws where the standby leads.
    let rates = try pair.rates(over: .seconds(1200))
    #expect(try pair.beacon().counter > before + 150, "\(rates)")
  }

  @Test("A leader keeps the word of its last beat also where a standby begins to ask")
  func firstQuestion() throws {
    for moment in 0..<10 {
      let pair = try IdlePair(lease: Self.lease, onTable: false)
      try pair.write(3 * Limits.leastHintProof)
      try pair.runAlone(.seconds(1200) + .milliseconds(moment * 470))
      // Throws where the standby leads.
      try pair.run(.seconds(60))
      #expect(try pair.beacon().status.nextBeat_ms == 30_000, "moment \(moment)")
    }
  }
}
