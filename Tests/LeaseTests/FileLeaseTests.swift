import SluiceFakes
import SluiceLease
import SluiceShared
import Testing

/// On a clock that a test moves.
@Suite("Who rests with a beacon that says so is followed when it answers hints no more")
struct FileLeaseTests {
  private static let duration = Duration.seconds(10)
  private static let nextBeat = Duration.seconds(30)
  /// For how long such a beacon is believed.
  private static let patience = nextBeat * 5 / 4
  private let clock = ManualClock(wall_ms: 0)

  private func lease(without check: SafetyCheck? = nil) -> FileLease {
    var environment = Environment.posix()
    environment.clock = clock
    if let check { environment.omittedChecks = [check] }
    return FileLease(duration: Self.duration, environment: environment)
  }

  /// When a standby may claim, counted from its first look; it looks each tenth of a second. `answers`: until when the holder
  /// answers hints, from when on.
  private func claims(_ lease: FileLease, answers: ClosedRange<Duration>? = nil) -> Duration {
    let began = clock.elapsed()
    var seen = LeaseObservation(segment: 1, counter: 7, isReleased: false)
    seen.nextBeat = Self.nextBeat
    while true {
      let time = clock.elapsed() - began
      if let answers, time >= answers.lowerBound {
        seen.heard = began + min(time, answers.upperBound)
      }
      if lease.mayClaim(seen) || time > .seconds(120) { return time }
      clock.sleep(.milliseconds(100))
    }
  }

  @Test func whoNeverHeardItWaitsAsLongAsTheBeaconSays() {
    #expect(claims(lease()) == Self.patience)
  }

  @Test(arguments: [0, 3, 12, 20]) func whoHearsItNoMoreWaitsForALease(seconds: Int) {
    let last = Duration.seconds(seconds)
    #expect(claims(lease(), answers: .zero...last) == last + Self.duration)
  }

  /// The answers may be forged.
  @Test func nobodyWaitsLongerThanTheBeaconSays() {
    #expect(claims(lease(), answers: .zero ... .seconds(100)) == Self.patience)
    #expect(claims(lease(), answers: .seconds(36) ... .seconds(100)) == Self.patience)
  }

  @Test func withoutTheCheckWhoAnswersIsClaimedFrom() {
    let lease = lease(without: .silenceSinceAnswer)
    #expect(claims(lease, answers: .zero ... .seconds(100)) == Self.duration)
  }

  @Test("A holder keeps its lease for as long as its last beacon says, and no longer")
  func deadline() {
    for (nextBeat, patience) in [
      (Duration.seconds(2), Self.duration), (Self.nextBeat, Self.patience),
      (.seconds(1000), Self.patience),
    ] {
      for late in [Duration.zero, .milliseconds(1)] {
        let lease = lease()
        lease.claimed(at: clock.elapsed())
        let first = clock.elapsed()
        #expect(lease.renew(beatStarted: first, nextBeat: nextBeat))
        #expect(
          lease.renew(beatStarted: first + patience + late, nextBeat: nextBeat) == (late == .zero))
      }
    }
  }
}
