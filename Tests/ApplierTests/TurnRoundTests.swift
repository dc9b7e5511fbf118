import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceApplier

@Suite("Users have turns one after the other, and whoever comes has one soon")
struct TurnRoundTests {
  var waiting = WaitingBatches()

  private static func writer(_ n: UInt64) -> WriterID { WriterID(high: 1, low: n) }

  private mutating func add(_ count: UInt32, of writer: UInt64, user: UInt32, first: UInt64 = 1) {
    let frame = JournalSegmentReader.Frame(
      first: SequenceNumber(first), count: count, end: 0, stored: [], codec: .raw,
      rawBytes: Int64(count) * 100)
    waiting.append(
      PendingFrame(
        JournalSegmentID(writer: Self.writer(writer), number: 1), owner: user, frame), from: 0)
  }

  /// A user may have any number of writers: that of a user with one has as many turns as all of them.
  @Test mutating func aUsersWritersShareItsTurns() {
    for n in 1...10 as ClosedRange<UInt64> { add(20, of: n, user: 1) }
    add(20, of: 77, user: 2)
    let order = waiting.next(.max, bytes: .max).map(\.id.writer)
    let last = order.lastIndex(of: Self.writer(77)) ?? .max
    #expect(order.count == 220 && last == 39)
    // Of the user's own, each has its turn.
    #expect(Set(order.prefix(40)).count == 6)
    #expect(Set(order.prefix(62)).count == 11)
  }

  /// A plan may be thousands of batches long, and each of them slow.
  @Test(arguments: [false, true], [1, 2, 3, 5])
  mutating func whoComesHasATurnSoon(isAnotherUser: Bool, group: Int) throws {
    for n in 1...2 as ClosedRange<UInt64> { add(200, of: n, user: 1) }
    _ = waiting.next(128, bytes: .max)
    add(9, of: 77, user: isAnotherUser ? 2 : 1)
    var order: [BatchID] = []
    while order.count < 100 {
      // Of what is planned a group gets few executed.
      for _ in waiting.next(128, bytes: .max).prefix(group) {
        if let batch = waiting.takeFirst() { order.append(batch.id) }
      }
      waiting.planAnew()
    }
    let places = order.indices.filter { order[$0].writer == Self.writer(77) }
    // Two turns of others before each of its own, and what was left of the one at hand.
    try #require(places.count == 9)
    #expect(places[0] <= 12, "\(places)")
    #expect(places[8] <= (isAnotherUser ? 24 : 36), "\(places)")
    // Each writer's order is as it was.
    for ids in Dictionary(grouping: order, by: \.writer).values {
      #expect(ids.map(\.sequence.rawValue) == (1...UInt64(ids.count)).map { $0 })
    }
    // Both others have their turns.
    let counts = (1...2).map { n in order.count { $0.writer == Self.writer(n) } }
    #expect(abs(counts[0] - counts[1]) <= 4, "\(counts)")
  }

  @Test mutating func nothingIsLostByPlanningAnew() {
    for n in 1...5 as ClosedRange<UInt64> { add(30, of: n, user: UInt32(n % 2)) }
    _ = waiting.next(50, bytes: .max)
    #expect(waiting.bringForward { $0.writer == Self.writer(4) && $0.sequence.rawValue <= 3 })
    _ = waiting.takeFirst()
    waiting.planAnew()
    waiting.remove(Self.writer(2))
    waiting.planAnew()
    add(10, of: 4, user: 0, first: 31)
    let rest = waiting.next(.max, bytes: .max).map(\.id)
    #expect(rest.count == 129 && rest.count == waiting.count)
    for (writer, ids) in Dictionary(grouping: rest, by: \.writer) {
      let first: UInt64 = writer == Self.writer(4) ? 2 : 1
      #expect(ids.map(\.sequence.rawValue) == (first..<first + UInt64(ids.count)).map { $0 })
    }
    while waiting.takeFirst() != nil {}
    #expect(waiting.isEmpty && waiting.weight == 0 && waiting.bytes == 0)
    #expect((0...1).allSatisfy { waiting.weight(of: $0) == 0 })
  }
}
