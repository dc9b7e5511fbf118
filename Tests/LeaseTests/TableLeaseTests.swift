import SluiceFakes
import SluiceLease
import SluiceShared
import Testing

@Suite("Who holds the item leads, as long as its own clock says so")
struct TableLeaseTests {
  let table = ScriptedTable()
  var clock: ManualClock { table.clock }
  static let time = Duration.seconds(10)

  /// One process's lease; each thing that it reports is kept.
  private final class Process {
    let lease: TableLease
    private(set) var reports: [String] = []

    init(_ table: ScriptedTable, _ name: String, omitting omitted: Set<SafetyCheck> = []) {
      var environment = Environment(
        fileSystem: MemoryFileSystem(MemoryDisk(), clock: table.clock), clock: table.clock,
        executor: InlineExecutor(), random: { UInt64.random(in: .min ... .max) })
      environment.omittedChecks = omitted
      let kept = Monitor<[String]>([])
      lease = TableLease(
        table, duration: TableLeaseTests.time, name: name, environment: environment
      ) { report in kept.withLock { $0.append(report.message) } }
      read = { kept.withLock { $0 } }
    }

    private let read: () -> [String]
    var told: [String] { read() }
  }

  private let active = LeaseObservation(segment: 1, counter: 1, isReleased: false)
  private let released = LeaseObservation(segment: 1, counter: 2, isReleased: true)

  /// Looks once, and takes the item where it may.
  private func take(_ process: Process, _ seen: LeaseObservation? = nil) throws -> Bool {
    guard try process.lease.mayClaim(seen ?? active) else { return false }
    return try process.lease.acquire()
  }

  /// Looks five times a second, as a standby does, until it has the item; how long that took.
  private func stand(_ process: Process, atMost limit: Duration) throws -> Duration? {
    let started = clock.elapsed()
    while clock.elapsed() - started <= limit {
      if try take(process) { return clock.elapsed() - started }
      clock.sleep(.milliseconds(200))
    }
    return nil
  }

  @Test("An absent item is taken, then a released one, by one of two each time")
  func taken() throws {
    let a = Process(table, "a")
    let b = Process(table, "b")
    #expect(try a.lease.mayClaim(active) && b.lease.mayClaim(active))
    #expect(try a.lease.acquire())
    #expect(try !b.lease.acquire())
    #expect(table.item?.term == 1 && table.item?.state == .active)
    #expect(table.item?.holder.hasPrefix("a ") == true && table.item?.lease == Self.time)
    try a.lease.release()
    #expect(table.item?.state == .released && table.item?.term == 1)
    // Who was refused tries no more than once a second.
    #expect(try !take(b, released))
    clock.sleep(.seconds(1))
    #expect(try take(b, released))
    #expect(table.item?.term == 2 && table.item?.holder.hasPrefix("b ") == true)
  }

  @Test(
    "Another's item is taken when it stayed the same for the lease time since it was first read, and not before"
  )
  func observed() throws {
    let a = Process(table, "a")
    #expect(try take(a))
    let b = Process(table, "b")
    clock.sleep(.seconds(5))
    let took = try #require(try stand(b, atMost: .seconds(20)))
    #expect(took >= Self.time && took < Self.time + .seconds(1))
    // Each beat begins it anew.
    let c = Process(table, "c")
    for _ in 0..<20 {
      #expect(try stand(c, atMost: .seconds(2)) == nil)
      #expect(try b.lease.renew(beatStarted: clock.elapsed(), nextBeat: .zero))
    }
    #expect(try stand(c, atMost: .seconds(20)) != nil)
  }

  @Test("At rest the item alone is kept, with fewer requests, though one in two goes unanswered")
  func kept() throws {
    let a = Process(table, "a")
    #expect(try take(a))
    let b = Process(table, "b")
    let requests = table.requests
    for _ in 0..<300 {
      #expect(try a.lease.keep())
      clock.sleep(.milliseconds(200))
    }
    #expect((11...13).contains(table.requests - requests))
    for i in 0..<300 {
      if i % 30 == 0 { table.next(.lost) }
      #expect(try a.lease.keep())
      #expect(try !take(b))
      clock.sleep(.milliseconds(200))
    }
    // As a beat does, it says when the time is over.
    clock.sleep(Self.time)
    #expect(try !a.lease.keep())
  }

  @Test("A standby reads at most once a second, but for a few looks at a holder that stops")
  func looks() throws {
    let a = Process(table, "a")
    #expect(try take(a))
    let b = Process(table, "b")
    var before = table.reads
    for _ in 0..<25 {
      _ = try b.lease.mayClaim(active)
      clock.sleep(.milliseconds(200))
    }
    #expect(table.reads - before <= 6)
    // The holder's release does not come.
    before = table.reads
    for _ in 0..<20 {
      _ = try b.lease.mayClaim(released)
      clock.sleep(.milliseconds(200))
    }
    #expect(table.reads - before <= 10)
  }

  @Test("A deadline counts from before the request was sent, however late its answer comes")
  func deadline() throws {
    for omitted in [[], [SafetyCheck.deadlineFromRequest]] as [Set<SafetyCheck>] {
      let table = ScriptedTable()
      let a = Process(table, "a", omitting: omitted)
      #expect(try a.lease.mayClaim(active) && a.lease.acquire())
      table.clock.sleep(.seconds(2))
      table.next(.slow(there: .milliseconds(100), back: .milliseconds(900)))
      #expect(try a.lease.renew(beatStarted: table.clock.elapsed(), nextBeat: .zero))
      // Ten seconds after it was sent, and half a second before they are over since the answer.
      table.next(.refused(LockFailure(isPassing: true, "throttled")))
      table.clock.sleep(.milliseconds(9500))
      #expect(
        try a.lease.renew(beatStarted: table.clock.elapsed(), nextBeat: .zero) == !omitted.isEmpty)
    }
  }

  @Test(
    "A holder that was not answered for the lease time leads no more, though nobody has taken the item"
  )
  func unanswered() throws {
    let a = Process(table, "a")
    #expect(try take(a))
    table.state.withLock { $0.faults = Array(repeating: .lost, count: 100) }
    var last = Duration.zero
    let started = clock.elapsed()
    while try a.lease.renew(beatStarted: clock.elapsed(), nextBeat: .zero) {
      last = clock.elapsed()
      clock.sleep(.milliseconds(500))
    }
    #expect(last - started <= Self.time && clock.elapsed() - started >= Self.time)
    #expect(a.told.contains("the lock table gives no answer"))
    // It gives the item back when it can.
    table.next()
    a.lease.abandon()
    #expect(table.item?.state == .released)
  }

  @Test("Answers that are lost or come twice are found in the item: mine is mine")
  func lostAnswers() throws {
    let a = Process(table, "a")
    #expect(try a.lease.mayClaim(active))
    // Carried out twice by one call: the second time it meets its own condition.
    table.next(.twice)
    #expect(try a.lease.acquire())
    table.next(.twice)
    clock.sleep(.seconds(2))
    #expect(try a.lease.renew(beatStarted: clock.elapsed(), nextBeat: .zero))
    // A renewal whose answer is lost is followed by another.
    table.next(.unanswered)
    clock.sleep(.seconds(2))
    #expect(try a.lease.renew(beatStarted: clock.elapsed(), nextBeat: .zero))
    clock.sleep(.seconds(2))
    #expect(try a.lease.renew(beatStarted: clock.elapsed(), nextBeat: .zero))
    clock.sleep(.seconds(7))
    #expect(try a.lease.renew(beatStarted: clock.elapsed(), nextBeat: .zero))
    try a.lease.release()
    // The answer to the taking is lost: the next look finds one's own name.
    let b = Process(table, "b")
    #expect(try b.lease.mayClaim(released))
    table.next(.unanswered)
    #expect(try !b.lease.acquire())
    #expect(try stand(b, atMost: .seconds(3)) != nil)
    #expect(table.item?.holder.hasPrefix("b ") == true)
  }

  @Test("Who paused past its lease does not renew what another holds")
  func paused() throws {
    for omitted in [[], [SafetyCheck.renewalByTerm]] as [Set<SafetyCheck>] {
      let table = ScriptedTable()
      let a = Process(table, "a", omitting: omitted)
      #expect(try a.lease.mayClaim(active) && a.lease.acquire())
      // Somebody else wrote, a second later.
      table.clock.sleep(.seconds(3))
      table.item?.holder = "boto3"
      table.item?.term = 9
      #expect(
        try a.lease.renew(beatStarted: table.clock.elapsed(), nextBeat: .zero) == !omitted.isEmpty)
      if omitted.isEmpty { #expect(a.told.contains("lease lost")) }
      #expect(table.item?.holder == "boto3")
    }
    // Past its own deadline it does not even ask.
    let a = Process(table, "a")
    #expect(try take(a))
    clock.sleep(.seconds(11))
    let before = table.requests
    #expect(try !a.lease.renew(beatStarted: clock.elapsed(), nextBeat: .zero))
    #expect(table.requests == before)
  }

  @Test("The item is given back when the log's claim is lost")
  func givenBack() throws {
    for omitted in [[], [SafetyCheck.giveBackAfterLostClaim]] as [Set<SafetyCheck>] {
      let table = ScriptedTable()
      let a = Process(table, "a", omitting: omitted)
      #expect(try a.lease.mayClaim(active) && a.lease.acquire())
      a.lease.abandon()
      #expect((table.item?.state == .released) == omitted.isEmpty)
      #expect(try !a.lease.renew(beatStarted: table.clock.elapsed(), nextBeat: .zero))
    }
  }

  @Test("A term that began slowly goes on only with its item renewed")
  func slowBeginning() throws {
    let a = Process(table, "a")
    #expect(try take(a))
    clock.sleep(.seconds(30))
    try a.lease.claimed(at: clock.elapsed())
    #expect(try a.lease.renew(beatStarted: clock.elapsed(), nextBeat: .zero))
    clock.sleep(.seconds(30))
    table.item?.term = 5
    let error = #expect(throws: StoreError.self) { try a.lease.claimed(at: clock.elapsed()) }
    #expect(error?.code == .notLeading)
  }

  @Test(
    "Throttling and errors are waited for; what somebody has to change ends who was never answered")
  func failures() throws {
    let denied = LockFailure(isPassing: false, "denied")
    let busy = LockFailure(isPassing: true, "throttled")
    let a = Process(table, "a")
    table.next(.refused(busy), .refused(busy))
    #expect(try stand(a, atMost: .seconds(5)) != nil)
    // While it leads nothing ends it but its deadline.
    table.next(.refused(denied), .refused(busy), .refused(denied))
    for _ in 0..<5 {
      clock.sleep(.seconds(1))
      #expect(try a.lease.renew(beatStarted: clock.elapsed(), nextBeat: .zero))
    }
    #expect(a.told.filter { $0 == "the lock table answers again" }.count == 2)
    let b = Process(table, "b")
    table.next(.refused(denied))
    let error = #expect(throws: StoreError.self) { try b.lease.mayClaim(active) }
    #expect(error?.message == "denied")
  }

  @Test("A lease time in the item that cannot be meant is not believed")
  func strangeItem() throws {
    for lease in [Duration.zero, .seconds(1 << 40)] {
      let table = ScriptedTable()
      table.item = LockItem(
        lockID: nil, holder: "", term: .max, lease: lease, state: .active, expires_s: 0)
      let a = Process(table, "a")
      var waited = Duration.zero
      while try !a.lease.mayClaim(active) {
        table.clock.sleep(.milliseconds(200))
        waited += .milliseconds(200)
        #expect(waited < .seconds(20))
      }
      #expect(waited >= Self.time)
      #expect(try a.lease.acquire() && table.item?.term == 1)
    }
  }
}
