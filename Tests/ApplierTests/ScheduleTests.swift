import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceApplier

@Suite("Of many stores none waits for the batches of others")
struct ScheduleTests {
  private typealias Rest = Schedule<Int>.Rest

  private func schedule(_ stores: Int, slots: Int = 2) -> Schedule<Int> {
    var schedule = Schedule<Int>(slots: slots)
    for key in 1...stores { schedule.add(key, at: .milliseconds(Int64(key))) }
    return schedule
  }

  @Test func whoIsDueFirstComesFirst() {
    var schedule = schedule(3)
    let early = schedule.take(at: .zero)
    let due = schedule.nextDue()
    #expect(early == nil && due == .milliseconds(1))
    var order: [Int] = []
    for _ in 0..<6 {
      guard let turn = schedule.take(at: .seconds(1)) else { break }
      order.append(turn.key)
      schedule.done(turn.key, .until(.milliseconds(Int64(100 - turn.key))), at: .seconds(1))
    }
    #expect(order == [1, 2, 3, 3, 3, 3])
  }

  @Test func nobodyIsTakenTwiceAtOnce() {
    var schedule = schedule(1)
    let seen1 = schedule.take(at: .seconds(1))?.key
    #expect(seen1 == 1)
    schedule.wake(1, at: .seconds(1))
    let seen2 = schedule.take(at: .seconds(1))
    #expect(seen2 == nil)
    // What came meanwhile is looked at then, however long it would have rested.
    schedule.done(1, .until(.seconds(60)), at: .seconds(2))
    let seen3 = schedule.take(at: .seconds(2))?.key
    #expect(seen3 == 1)
  }

  @Test func aWakeIsNoReasonToComeTwice() {
    var schedule = schedule(1)
    for _ in 0..<3 { schedule.wake(1, at: .zero) }
    let seen4 = schedule.take(at: .seconds(1))?.key
    #expect(seen4 == 1)
    schedule.done(1, .until(.seconds(9)), at: .seconds(1))
    let seen5 = schedule.take(at: .seconds(8))
    #expect(seen5 == nil)
  }

  /// Two execute for as long as anybody likes: all others are looked at, and beat.
  @Test func beatsDoNotWaitForBatches() {
    var schedule = schedule(10)
    for _ in 0..<2 {
      guard let turn = schedule.take(at: .seconds(1)) else { continue }
      let seen6 = schedule.mayExecute(turn.key)
      #expect(seen6)
    }
    #expect(schedule.executing == 2)
    var looked: Set<Int> = []
    for second in 2..<10 {
      let now = Duration.seconds(second)
      while let turn = schedule.take(at: now) {
        // Each of them has batches, too.
        let seen7 = schedule.mayExecute(turn.key)
        #expect(!turn.mayExecute && !seen7)
        looked.insert(turn.key)
        schedule.done(turn.key, .slot(orUntil: now + .seconds(1)), at: now)
      }
      #expect(looked == Set(3...10), "second \(second)")
      looked = []
    }
  }

  /// One store with batches without end, and others with one each.
  @Test func aBusyStoreGoesToTheEndOfTheQueue() {
    var schedule = schedule(4, slots: 1)
    var executed: [Int] = []
    var left = [1: 100, 2: 1, 3: 1, 4: 1]
    var now = Duration.seconds(1)
    while executed.count < 10, let turn = schedule.take(at: now) {
      now += .milliseconds(1)
      guard left[turn.key, default: 0] > 0 else {
        schedule.done(turn.key, .until(now + .seconds(100)), at: now)
        continue
      }
      guard turn.mayExecute || schedule.mayExecute(turn.key) else {
        schedule.done(turn.key, .slot(orUntil: now + .seconds(1)), at: now)
        continue
      }
      executed.append(turn.key)
      left[turn.key, default: 0] -= 1
      // The others find their batches while it executes.
      var looking: [Int] = []
      while let other = schedule.take(at: now) { looking.append(other.key) }
      for key in looking { schedule.done(key, .slot(orUntil: now + .seconds(1)), at: now) }
      schedule.done(turn.key, .until(now), at: now)
    }
    #expect(executed.prefix(5).sorted() == [1, 1, 2, 3, 4])
  }

  @Test func whoWaitsForASlotKeepsItsPlaceWhileItIsLookedAt() {
    var schedule = schedule(3, slots: 1)
    let first = schedule.take(at: .seconds(1))?.key ?? 0
    let seen8 = schedule.mayExecute(first)
    #expect(seen8)
    for _ in 0..<2 {
      guard let turn = schedule.take(at: .seconds(1)) else { continue }
      schedule.done(turn.key, .slot(orUntil: .seconds(2)), at: .seconds(1))
    }
    // A beat of the one that waits longest.
    let seen9 = schedule.take(at: .seconds(2))?.key
    #expect(seen9 == 2)
    schedule.done(2, .slot(orUntil: .seconds(3)), at: .seconds(2))
    schedule.done(first, .until(.seconds(99)), at: .seconds(2))
    let next = schedule.take(at: .seconds(2))
    #expect(next?.key == 2 && next?.mayExecute == true)
  }

  @Test func whatComesForOneThatIsLookedAtIsNotPutOffByItsWaitForASlot() {
    var schedule = schedule(2, slots: 1)
    let first = schedule.take(at: .seconds(1))?.key ?? 0
    let mayExecute = schedule.mayExecute(first)
    #expect(mayExecute)
    let second = schedule.take(at: .seconds(1))?.key ?? 0
    schedule.wakeAll(at: .seconds(1))
    schedule.done(second, .slot(orUntil: .seconds(60)), at: .seconds(1))
    let woken = schedule.take(at: .seconds(1))
    #expect(woken?.key == second && woken?.mayExecute == false)
  }

  @Test func whatIsRemovedIsGoneBehindItsTurn() {
    var schedule = schedule(2)
    let seen10 = schedule.take(at: .seconds(1))?.key
    #expect(seen10 == 1)
    schedule.remove(1)
    schedule.remove(2)
    #expect(schedule.count == 1)
    let seen11 = schedule.done(1, .until(.zero), at: .seconds(1))
    #expect(!seen11)
    let seen12 = schedule.take(at: .seconds(9))
    #expect(schedule.count == 0 && seen12 == nil)
  }

  @Test func theHeapHasTheSmallestFirst() {
    var random = SeededRandom(seed: 5)
    var heap = Heap<Int>()
    var expected: [Int] = []
    for _ in 0..<500 {
      if random.below(3) > 0 || expected.isEmpty {
        let value = random.below(1000)
        heap.push(value)
        expected.append(value)
        expected.sort()
      } else {
        let first = heap.removeFirst()
        #expect(first == expected.removeFirst())
      }
      #expect(heap.first == expected.first)
    }
  }

  /// In one process they share SQLite's memory: what one store's batch takes, another's would be rejected for.
  @Test func whereMemoryIsBoundedAndSharedOneStoreExecutesAtATime() {
    var options = ApplierOptions(holder: "test")
    #expect(Fleet.slots(options, heapLimit: 1 << 30) == 1)
    #expect(Fleet.slots(options, heapLimit: 0) == Limits.executingOfMany)
    options.worker = WorkerProgram(path: "/nowhere", arguments: [])
    #expect(Fleet.slots(options, heapLimit: 1 << 30) == Limits.executingOfMany)
  }
}
