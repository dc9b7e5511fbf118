import SluiceShared
import Testing

@testable import SluiceApplier

@Suite("Which checkpoints are kept, and with which the log begins")
struct RetentionPlanTests {
  private typealias Checkpoint = RetentionPlan.Checkpoint

  /// Of batch 10 × i, made at i hours, of 100 bytes.
  private static func hourly(_ count: Int) -> [Checkpoint] {
    (0..<count).map {
      Checkpoint(txid: TxID(UInt64($0) * 10), made_ms: Int64($0) * 3_600_000, bytes: 100)
    }
  }

  private func plan(
    _ checkpoints: [Checkpoint], hours: Int?, _ most: Int = 1000, bytes: Int64? = nil,
    now: Int, logBytes: (TxID) -> Int64 = { _ in 0 }
  ) throws -> (base: UInt64, kept: [UInt64]) {
    var settings = RetentionSettings()
    settings.keep = hours.map { .seconds($0 * 3600) }
    settings.checkpoints = most
    settings.bytes = bytes
    let plan = try #require(
      try RetentionPlan(checkpoints, settings, now_ms: Int64(now) * 3_600_000) { logBytes($0) })
    return (plan.base.rawValue, plan.kept.map(\.rawValue).sorted())
  }

  @Test("It begins with the newest that is older than what is kept")
  func byTime() throws {
    let all = Self.hourly(10)
    #expect(try plan(all, hours: 4, now: 9) == (50, [50, 60, 70, 80, 90]))
    #expect(try plan(all, hours: 100, now: 9) == (0, all.map(\.txid.rawValue)))
    #expect(try plan(all, hours: nil, now: 9) == (0, all.map(\.txid.rawValue)))
  }

  @Test("The newest two stay, however little is kept")
  func newestTwo() throws {
    #expect(try plan(Self.hourly(10), hours: 1, now: 1000) == (80, [80, 90]))
    #expect(try plan(Self.hourly(10), hours: nil, bytes: 1, now: 1000) == (80, [80, 90]))
    #expect(try plan(Self.hourly(2), hours: 1, now: 1000) == (0, [0, 10]))
    #expect(try plan(Self.hourly(1), hours: 1, now: 1000) == (0, [0]))
  }

  @Test("A late one of an early batch, with a new date, is no beginning")
  func madeLate() throws {
    var all = Self.hourly(10)
    all[2].made_ms = 9 * 3_600_000
    #expect(try plan(all, hours: 4, now: 9).base == 50)
  }

  @Test("Of many those stay that are spread over the time", arguments: [2, 3, 4, 8])
  func spread(_ most: Int) throws {
    let found = try plan(Self.hourly(100), hours: 90, most, now: 99)
    #expect(found.base == 90)
    #expect(found.kept.count == max(3, most))
    #expect(found.kept.first == 90 && found.kept.suffix(2) == [980, 990])
    if most == 8 {
      let gaps = zip(found.kept, found.kept.dropFirst()).map { $1 - $0 }.dropLast()
      #expect((gaps.max() ?? 0) <= 3 * (gaps.min() ?? 0), "\(found.kept)")
    }
  }

  /// What is between is thinned again and again, not once.
  @Test("They are spread also where each goes as the next one comes")
  func spreadOneByOne() throws {
    var left: [Checkpoint] = []
    for one in Self.hourly(300) {
      left.append(one)
      let kept = try plan(left, hours: 1000, 8, now: 299).kept
      left = left.filter { kept.contains($0.txid.rawValue) }
    }
    #expect(left.count == 8 && left[0].txid == .zero)
    let gaps = zip(left, left.dropFirst()).map { $1.txid.rawValue - $0.txid.rawValue }.dropLast()
    #expect((gaps.max() ?? 0) <= 1500, "\(left.map(\.txid))")
  }

  @Test("Where it takes too much, the oldest go earlier")
  func byBytes() throws {
    // 100 bytes of log behind each.
    let found = try plan(Self.hourly(10), hours: 100, bytes: 850, now: 9) {
      (100 - Int64($0.rawValue)) * 10
    }
    #expect(found == (60, [60, 70, 80, 90]))
  }
}
