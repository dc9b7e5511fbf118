import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceLease

@Suite("A table that is overloaded is asked no more for it, and elects everybody again afterwards")
struct OverloadTests {
  /// In seconds of simulated time.
  private static let outage = 60

  @Test(
    "A table that answers nobody is asked about as much as one that answers; what failed is sent again as much as may be spent"
  )
  func dead() throws {
    let (calm, dead, led) = try attempts(budget: Limits.retryCapacity)
    let share = Double(dead) / Double(calm)
    #expect(share < 1.25, "\(dead) in place of \(calm)")
    // Nobody falls silent either.
    #expect(share > 0.7, "\(dead) in place of \(calm)")
    #expect(led)
    // Without a bound they are many times as many.
    let without = try attempts(budget: .max)
    #expect(Double(without.dead) > 2.5 * Double(without.calm), "\(without)")
  }

  /// How many requests are sent in a minute: of a table that answers, then of one that does not. And whether all is led
  /// within a lease when it does again.
  private func attempts(budget: Int) throws -> (calm: Int, dead: Int, isLedAgain: Bool) {
    let crowd = Crowd(processes: 4, stores: 40, budget: budget)
    try crowd.run(for: .seconds(30))
    #expect(crowd.led == crowd.stores)
    let calm = try crowd.sent(in: .seconds(Self.outage))
    #expect(crowd.led == crowd.stores)
    crowd.table.service = nil
    let dead = try crowd.sent(in: .seconds(Self.outage))
    #expect(crowd.led == 0)
    crowd.table.service = .milliseconds(1)
    try crowd.run(for: Crowd.lease)
    return (calm, dead, crowd.led == crowd.stores)
  }

  @Test(
    "A table that can do a third more than it is asked at rest comes to rest again after an outage")
  func metastable() throws {
    for (budget, settles) in [(Limits.retryCapacity, true), (.max, false)] {
      let crowd = Crowd(processes: 4, stores: 40, budget: budget)
      try crowd.run(for: .seconds(30))
      let calm = try crowd.sent(in: .seconds(60))
      crowd.table.service = nil
      try crowd.run(for: .seconds(30))
      crowd.table.service = .seconds(60) / (calm * 4 / 3)
      try crowd.run(for: .seconds(120))
      let (leads, before) = (crowd.taken, crowd.led)
      try crowd.run(for: .seconds(60))
      #expect(
        (crowd.led == crowd.stores && before == crowd.stores && crowd.taken == leads) == settles,
        "\(budget): \(before), then \(crowd.led) of \(crowd.stores) are led, \(crowd.taken - leads) changed hands"
      )
    }
  }
}
