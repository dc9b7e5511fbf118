import SluiceLease
import SluiceShared
import Testing

@testable import SluiceApplier

@Suite(
  "An assistant claims only where nobody leads, and a store's assistants at most once a second")
struct AssistantTurnTests {
  private typealias Survey = AssistantTurn.Survey
  private let beat = Duration.seconds(1)
  private let now = Duration.seconds(1000)

  private func turn(
    _ isReleased: Bool, _ survey: Survey, random: UInt64 = 0, isPaced: Bool = true
  ) -> AssistantTurn {
    var turn = AssistantTurn(Assistance(), beat: beat, isPaced: isPaced)
    turn.sees(
      LeaseObservation(segment: 7, counter: 3, isReleased: isReleased), survey, at: now,
      random: random)
    return turn
  }

  /// When it may claim first, from when it looked.
  private func wait(_ turn: AssistantTurn) -> Duration {
    var passed = Duration.zero
    while !turn.mayClaim(at: now + passed), passed < .seconds(120) { passed += .milliseconds(1) }
    return passed
  }

  @Test("Behind a term that was released it begins a second after that began, and not later")
  func pause() {
    for (term, silence, expected) in [
      (300, 0, 700), (300, 999, 700), (300, 1000, 0), (300, 5000, 0), (1000, 0, 0), (30_000, 0, 0),
      (0, 0, 1000),
      // The holder's clock was set back.
      (-5000, 0, 1000),
    ] as [(Int64, Int64, Int64)] {
      let survey = Survey(
        silence: .milliseconds(silence), term: .milliseconds(term), writers: 1)
      #expect(wait(turn(true, survey)) == .milliseconds(expected), "\(term) \(silence)")
    }
    // A new store has had none.
    #expect(wait(turn(true, Survey())) == .zero)
    #expect(wait(turn(true, Survey(term: .zero), isPaced: false)) == .zero)
  }

  @Test("Behind one that fell silent it asks the lease when three beats were missed")
  func silent() {
    let term = Duration.seconds(60)
    #expect(wait(turn(false, Survey(term: term, writers: 1))) == .seconds(3))
    // A process that lives for a moment knows it from the file server's dates.
    #expect(wait(turn(false, Survey(silence: .seconds(20), term: term, writers: 1))) == .zero)
  }

  @Test("Many that wait come one after the other, in no more than a second")
  func jitter() {
    func waits(_ writers: Int) -> [Duration] {
      var random: UInt64 = 1
      return (0..<writers).map { _ in
        random = random &* 6_364_136_223_846_793_005 &+ 1
        return wait(
          turn(
            true, Survey(silence: .seconds(9), term: .seconds(1), writers: writers), random: random)
        )
      }
    }
    #expect(waits(1) == [.zero])
    let some = waits(10).sorted()
    #expect(some[9] <= .milliseconds(180) && some[9] > .milliseconds(60))
    #expect(Set(some).count > 7)
    #expect(waits(1000).allSatisfy { $0 <= .seconds(1) })
  }

  @Test("Who was too late, or whose terms come to nothing, waits ever longer")
  func fruitless() {
    let survey = Survey(silence: .seconds(500), term: .seconds(1), writers: 1)
    var turn = turn(true, survey)
    turn.lost(at: now, random: 499)
    #expect(wait(turn) == .milliseconds(999))
    for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
      turn.done(applied: false, at: now)
      #expect(wait(turn) == .seconds(expected))
    }
    turn.done(applied: true, at: now - .seconds(60))
    turn.done(applied: false, at: now)
    #expect(wait(turn) == .seconds(1))
  }
}
