import SluiceShared
import Testing

@testable import SluiceApplier

/// A leader at rest makes few beats, and its standby looks seldom: nobody waits the longer for that when its host dies.
@Suite("A leader that dies at rest is followed within its lease and two seconds")
struct IdleTakeoverTests {
  @Test(arguments: [false, true], [true, false])
  func atAnyMoment(onTable: Bool, takesHints: Bool) throws {
    let lease = Duration.seconds(10)
    var longest = Duration.zero
    // The moments lie at all distances from its last beat or renewal, and from the standby's last look.
    for moment in 0..<40 {
      let pair = try IdlePair(lease: lease, onTable: onTable, takesHints: takesHints)
      if takesHints { try pair.write(3 * Limits.leastHintProof) }
      try pair.run(.seconds(1200))
      longest = max(longest, try pair.takeOver(in: .milliseconds(moment * 470)))
    }
    print("on a table: \(onTable), with hints: \(takesHints): led again after \(longest)")
    // The rest of the two seconds is for what takes no time here: reads, the claim, the first commit.
    #expect(longest <= lease + .milliseconds(1700))
  }
}
