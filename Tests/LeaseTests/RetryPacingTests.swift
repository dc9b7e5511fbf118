import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceLease

@Suite("What failed is sent again after a pause of any length up to a bound that doubles each time")
struct RetryPacingTests {
  private static let now = Duration.seconds(100)

  /// The pause behind the last of so many failures, of which it alone draws `random`.
  private func pause(
    after failures: Int, _ random: UInt64, longest: Duration = .seconds(1)
  ) -> Duration {
    var pacing = RetryPacing(longest: longest)
    for _ in 1..<failures { pacing.failed(at: Self.now, .random(in: .min ... .max)) }
    pacing.failed(at: Self.now, random)
    return pacing.notBefore - Self.now
  }

  @Test("The bound is 50 ms and doubles, up to the longest, however often it fails")
  func bounds() {
    for (failures, bound) in [
      (1, 50), (2, 100), (3, 200), (4, 400), (5, 800), (6, 1000), (9, 1000),
    ] {
      let bound = Duration.milliseconds(bound)
      let most = pause(after: failures, .max)
      #expect(most <= bound && most > bound - .milliseconds(1), "\(failures): \(most)")
      #expect(pause(after: failures, .min) == .zero)
    }
    for longest in [Duration.milliseconds(20), .seconds(1), .seconds(3600)] {
      for failures in [1, 11, 12, 64, 1000] {
        #expect(pause(after: failures, .max, longest: longest) <= longest)
      }
    }
  }

  @Test("It is drawn from all of it: those who failed at once come back one by one")
  func spread() {
    var random = SeededRandom(seed: 7)
    let bound = Duration.milliseconds(400)
    var tenths = [Int](repeating: 0, count: 10)
    var shortest = bound
    for _ in 0..<10_000 {
      let pause = pause(after: 4, random.next())
      #expect(pause >= .zero && pause < bound)
      guard pause >= .zero, pause < bound else { return }
      shortest = min(shortest, pause)
      tenths[Int(pause / bound * 10)] += 1
    }
    // Of a thousand each on average, by about thirty more or fewer.
    #expect(tenths.allSatisfy { (850...1150).contains($0) }, "\(tenths)")
    #expect(shortest < .milliseconds(1), "\(shortest)")
  }

  @Test("Behind an answer it begins anew")
  func reset() {
    var pacing = RetryPacing(longest: .seconds(1))
    for _ in 0..<8 { pacing.failed(at: Self.now, .max) }
    #expect(pacing.notBefore - Self.now > .milliseconds(900))
    pacing.succeeded()
    #expect(pacing.notBefore <= Self.now)
    pacing.failed(at: Self.now, .max)
    #expect(pacing.notBefore - Self.now <= .milliseconds(50))
  }

  /// How many requests a holder sends in five seconds in which all are refused.
  private func requests(drawing random: @escaping @Sendable () -> UInt64) throws -> Int {
    let table = ScriptedTable()
    let environment = Environment(
      fileSystem: MemoryFileSystem(MemoryDisk(), clock: table.clock), clock: table.clock,
      executor: InlineExecutor(), random: random)
    let lease = TableLease(
      table, duration: .seconds(30), name: "a", environment: environment,
      budget: RetryBudget(capacity: .max), report: { _ in })
    let seen = LeaseObservation(segment: 1, counter: 1, isReleased: false)
    #expect(try lease.mayClaim(seen) && lease.acquire())
    table.clock.sleep(.seconds(6))
    let busy = LockFailure(isPassing: true, "throttled")
    table.state.withLock { $0.faults = Array(repeating: .refused(busy), count: 1000) }
    let before = table.requests
    for _ in 0..<500 {
      #expect(try lease.renew(beatStarted: table.clock.elapsed(), nextBeat: .zero))
      table.clock.sleep(.milliseconds(10))
    }
    return table.requests - before
  }

  @Test("A lease that is not answered keeps to it")
  func kept() throws {
    // 50, 100, 200, 400, 800 ms, then each second.
    #expect((8...10).contains(try requests { .max }))
    #expect(try requests { .min } == 500)
    let random = Monitor(SeededRandom(seed: 3))
    let drawn = try requests { random.withLock { $0.next() } }
    #expect((10...30).contains(drawn), "\(drawn)")
  }
}
