import SluiceShared
import Testing

@testable import SluiceApplier

@Suite("What a term and its segments have come to is a state, with its transitions in one place")
struct TermStateTests {
  @Test func aTermLooksAtItsMarkOnlyBehindAFailedBeatAndNotTooOften() {
    var hold = TermHold.whole
    func looks(at now: Duration) -> Bool { hold.takeLook(at: now, every: .seconds(1)) }
    #expect(!looks(at: .seconds(5)))
    hold.lose()
    #expect(!hold.isLost && hold.failure == nil)
    hold.fail(StoreError(.notLeading, "first"))
    hold.fail(StoreError(.io, "second"))
    #expect(hold.failure?.message == "first")
    #expect(looks(at: .seconds(5)))
    #expect(!looks(at: .milliseconds(5_900)))
    #expect(looks(at: .seconds(6)))
    hold.lose()
    #expect(hold.isLost && !looks(at: .seconds(9)))
    let error = #expect(throws: StoreError.self) { try hold.check() }
    #expect(error?.message == "first")
  }

  @Test func whatRemainsBehindAMarkIsAsOldAsItWasFirstSeen() {
    var mark = SegmentMark.untouched
    mark.begin()
    // A try that failed is made again.
    mark.begin()
    #expect(mark.isInDoubt && !mark.isSet)
    mark.finish()
    #expect(mark.isSet && !mark.isInDoubt)
    let ages = [3, 5].map { mark.seesRemains(at: .seconds($0)) }
    #expect(ages == [.zero, .seconds(2)])
  }
}
