import SluiceFakes
import SluiceLease
import SluiceShared
import Testing

/// As a process has it that serves many stores: nothing here waits for the table.
@Suite("Who has many stores waits for no answer of the table")
struct BesideTests {
  static let time = Duration.seconds(10)

  /// What is sent is answered when a test says so.
  private final class Post: Executor, Sendable {
    private final class Letter: StartedWork, @unchecked Sendable {
      // Sendable: a test has one thread.
      var body: (@Sendable () -> Void)?
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
      var isDone: Bool { body == nil }
      func wait() { if body != nil { Issue.record("somebody waits for the table") } }
    }

    private let letters = Monitor<[Letter]>([])
    func start(_ work: @escaping @Sendable () -> Void) -> any StartedWork {
      let letter = Letter(work)
      letters.withLock { $0.append(letter) }
      return letter
    }
    func detach(_ work: @escaping @Sendable () -> Void) { work() }
    func concurrently(_ count: Int, _ body: @Sendable (Int) -> Void) {}
    var waiting: Int { letters.withLock { $0.count } }
    func deliver() {
      let all = letters.withLock { letters in
        defer { letters = [] }
        return letters
      }
      for letter in all {
        letter.body?()
        letter.body = nil
      }
    }
  }

  private final class Process {
    let lease: TableLease
    let post = Post()
    let table: ScriptedTable
    let answers = Monitor(0)
    let told = Monitor<[String]>([])

    init(_ table: ScriptedTable, _ name: String, omitting omitted: Set<SafetyCheck> = []) {
      self.table = table
      var environment = Environment(
        fileSystem: MemoryFileSystem(MemoryDisk(), clock: table.clock), clock: table.clock,
        executor: post, random: { UInt64.random(in: .min ... .max) })
      environment.omittedChecks = omitted
      let (answers, told) = (answers, told)
      lease = TableLease(
        table, duration: BesideTests.time, name: name, environment: environment,
        onAnswer: { answers.withLock { $0 += 1 } }
      ) { report in told.withLock { $0.append(report.message) } }
    }

    /// A look at the item, answered at once where it is sent.
    func look(_ seen: LeaseObservation) throws -> Bool {
      if try lease.mayClaim(seen) { return true }
      post.deliver()
      return try lease.goOn()
    }

    func take(_ seen: LeaseObservation) throws -> Bool {
      guard try look(seen) else { return false }
      if try lease.acquire() { return true }
      post.deliver()
      guard try lease.goOn(), try lease.mayClaim(seen) else { return false }
      return try lease.acquire()
    }
  }

  private let table = ScriptedTable()
  private var clock: ManualClock { table.clock }
  private let active = LeaseObservation(segment: 1, counter: 1, isReleased: false)
  private let released = LeaseObservation(segment: 1, counter: 2, isReleased: true)

  @Test("An item is read, then taken, kept and given back, and each answer is told of")
  func sequence() throws {
    let a = Process(table, "a")
    #expect(try !a.lease.mayClaim(active) && a.post.waiting == 1)
    // Before it is answered nothing else is sent.
    #expect(try !a.lease.mayClaim(active) && !a.lease.goOn() && a.post.waiting == 1)
    a.post.deliver()
    #expect(a.answers.withLock { $0 } == 1)
    #expect(try a.lease.goOn() && a.lease.mayClaim(active))
    #expect(try !a.lease.acquire() && a.lease.isBeingTaken)
    #expect(table.item == nil)
    #expect(try !a.lease.goOn() && !a.lease.acquire() && a.post.waiting == 1)
    a.post.deliver()
    #expect(try a.lease.goOn() && a.lease.mayClaim(active) && a.lease.acquire())
    try a.lease.claimed(at: clock.elapsed())
    #expect(table.item?.holder.hasPrefix("a ") == true)
    for _ in 0..<10 {
      let due = try #require(a.lease.nextKeep)
      #expect(due > clock.elapsed())
      clock.sleep(due - clock.elapsed())
      let before = table.requests
      #expect(try a.lease.keep())
      a.post.deliver()
      #expect(try a.lease.keep() && table.requests == before + 1)
    }
    try a.lease.release()
    #expect(a.lease.isParting && table.item?.state == .active)
    // A term that ends says it once more.
    a.lease.abandon()
    a.post.deliver()
    #expect(try !a.lease.goOn() && !a.lease.isParting)
    #expect(table.item?.state == .released)
  }

  @Test("A table that hangs keeps nobody, and what it is not told in two seconds it is not told")
  func hanging() throws {
    let a = Process(table, "a")
    #expect(try a.take(active))
    try a.lease.claimed(at: clock.elapsed())
    clock.sleep(.seconds(5))
    #expect(try a.lease.keep() && a.post.waiting == 1)
    // Nobody answers; the time is up by its own clock.
    clock.sleep(.seconds(5) + .milliseconds(1))
    #expect(try !a.lease.keep())
    a.lease.abandon()
    #expect(a.lease.isParting && a.post.waiting == 1)
    clock.sleep(.seconds(2))
    a.post.deliver()
    // What waited for longer than a request may take was not sent.
    #expect(table.requests == 2)
    _ = try a.lease.goOn()
    #expect(!a.lease.isParting && a.post.waiting == 0)
    #expect(
      a.told.withLock { $0 }.contains(
        "the lease is not released; others wait until it has run out"))
    #expect(table.item?.state == .active)
  }

  @Test(
    "An answer that is as expected wakes nobody, but who gives the item back, or is told that it was given back"
  )
  func expected() throws {
    let (a, b) = (Process(table, "a"), Process(table, "b"))
    #expect(try a.take(active))
    try a.lease.claimed(at: clock.elapsed())
    var told = a.answers.withLock { $0 }
    for isGoing in [false, true] {
      clock.sleep(try #require(a.lease.nextKeep) - clock.elapsed())
      #expect(try a.lease.keep() && a.post.waiting == 1)
      #expect(try #require(a.lease.nextKeep) - clock.elapsed() >= .seconds(4))
      if isGoing { try a.lease.release() }
      a.post.deliver()
      #expect(a.answers.withLock { $0 } == told + (isGoing ? 1 : 0))
      if !isGoing { #expect(try a.lease.keep()) }
      told = a.answers.withLock { $0 }
    }
    // The renewal is there, and what gives it back goes out.
    #expect(try !a.lease.goOn() && a.post.waiting == 1 && table.item?.state == .active)
    // Who stands by looks meanwhile, and is told nothing, before it sees in the beacon that it should be.
    #expect(try !b.lease.mayClaim(active) && b.post.waiting == 1)
    #expect(try #require(b.lease.nextLook) - clock.elapsed() >= .seconds(4))
    #expect(try !b.lease.mayClaim(released) && b.post.waiting == 1)
    b.post.deliver()
    #expect(b.answers.withLock { $0 } == 1)
    a.post.deliver()
    _ = try a.lease.goOn()
    #expect(!a.lease.isParting && table.item?.state == .released)
    #expect(try !b.lease.goOn())
    #expect(try #require(b.lease.nextLook) - clock.elapsed() <= .milliseconds(250))
  }

  @Test("An item whose taking was not answered, or came too late to be wanted, is given back")
  func unwanted() throws {
    for isLost in [true, false] {
      let table = ScriptedTable()
      let a = Process(table, "a")
      #expect(try a.look(active))
      #expect(try !a.lease.acquire())
      if isLost {
        table.next(.unanswered)
        a.post.deliver()
        #expect(try !a.lease.goOn())
      }
      // The process stops.
      a.lease.abandon()
      #expect(a.lease.isParting)
      for _ in 0..<3 {
        a.post.deliver()
        _ = try a.lease.goOn()
        table.clock.sleep(.milliseconds(100))
      }
      #expect(!a.lease.isParting && table.item?.state == .released, "\(isLost)")
    }
  }

  @Test("What another took meanwhile is not given back, and is waited for like any other")
  func overtaken() throws {
    let (a, b) = (Process(table, "a"), Process(table, "b"))
    #expect(try a.look(active) && b.look(active))
    #expect(try !a.lease.acquire() && !b.lease.acquire())
    a.post.deliver()
    #expect(try a.lease.goOn() && a.lease.acquire())
    b.post.deliver()
    #expect(try !b.lease.goOn() && !b.lease.isBeingTaken)
    b.lease.abandon()
    #expect(!b.lease.isParting && table.item?.holder.hasPrefix("a ") == true)
    #expect(table.item?.state == .active)
    // Who leads says that it stops: it is looked at some times in a row.
    let before = table.reads
    a.lease.abandon()
    a.post.deliver()
    clock.sleep(.seconds(1))
    #expect(try b.take(released))
    #expect(table.reads - before <= 5)
  }

  @Test("An item taken and not used in its time is not led by")
  func unused() throws {
    let a = Process(table, "a")
    #expect(try a.look(active))
    #expect(try !a.lease.acquire())
    a.post.deliver()
    clock.sleep(Self.time + .seconds(1))
    #expect(try a.lease.goOn() && !a.lease.mayClaim(active))
    #expect(a.lease.isParting)
  }

  @Test("A standby reads once a renewal, soon after it, and at the lease's end")
  func paced() throws {
    let (a, b) = (Process(table, "a"), Process(table, "b"))
    #expect(try a.take(active))
    try a.lease.claimed(at: clock.elapsed())
    var (last, looks) = (Duration.zero, 0)
    var longest = Duration.zero
    var (seen, at) = (table.item?.lockID, clock.elapsed())
    let started = clock.elapsed()
    while clock.elapsed() - started < .seconds(300) {
      let (keep, look) = (try #require(a.lease.nextKeep), try #require(b.lease.nextLook))
      clock.sleep(max(.milliseconds(1), min(keep, look) - clock.elapsed()))
      if clock.elapsed() >= keep {
        #expect(try a.lease.keep())
        a.post.deliver()
        #expect(try a.lease.keep())
        (seen, at) = (table.item?.lockID, clock.elapsed())
      }
      guard clock.elapsed() >= look else { continue }
      let before = table.reads
      #expect(try !b.look(active))
      guard table.reads > before else { continue }
      #expect(clock.elapsed() - last >= .seconds(1))
      (last, looks) = (clock.elapsed(), looks + 1)
      if clock.elapsed() - started > .seconds(30), seen != nil {
        longest = max(longest, clock.elapsed() - at)
        seen = nil
      }
    }
    #expect(looks < 100, "\(looks) reads in 300 s")
    #expect(longest <= .milliseconds(1100), "\(longest)")
    // The holder is silent from here.
    let ended = clock.elapsed()
    while try !b.take(active) {
      let look = try #require(b.lease.nextLook)
      clock.sleep(max(.milliseconds(1), look - clock.elapsed()))
      #expect(clock.elapsed() - ended < .seconds(20))
      guard clock.elapsed() - ended < .seconds(20) else { break }
    }
    #expect(clock.elapsed() - ended <= Self.time + .seconds(1))
  }

  @Test(
    "A standby reads little more than once a renewal, and a beat of a leader at rest hastens nothing"
  )
  func pace() throws {
    let (a, b) = (Process(table, "a"), Process(table, "b"))
    #expect(try a.take(active))
    try a.lease.claimed(at: clock.elapsed())
    /// Reads for each renewal in ten minutes, with a beat in so long, of which each publishes something or none.
    func reads(beat: Duration, publishes: Bool) throws -> Double {
      var (seen, lastBeat) = (active, clock.elapsed())
      let (readsBefore, requestsBefore) = (table.reads, table.requests)
      let end = clock.elapsed() + .seconds(600)
      while clock.elapsed() < end {
        clock.sleep(.milliseconds(50))
        var isBeat = clock.elapsed() - lastBeat >= beat
        if isBeat {
          lastBeat = clock.elapsed()
          seen.counter += 1
          if publishes { seen.txid = seen.txid.next }
          isBeat = try a.lease.renew(beatStarted: lastBeat, nextBeat: .zero)
        }
        #expect(try a.lease.keep())
        a.post.deliver()
        guard clock.elapsed() >= b.lease.nextLook ?? .zero else { continue }
        #expect(try !b.look(seen))
      }
      let reads = table.reads - readsBefore
      return Double(reads) / Double(table.requests - requestsBefore - reads)
    }
    let atRest = try reads(beat: .seconds(30), publishes: false)
    let atWork = try reads(beat: .milliseconds(500), publishes: true)
    #expect((1...1.35).contains(atRest), "\(atRest)")
    #expect((0.9...1.7).contains(atWork), "\(atWork)")
  }

  @Test("Wall clocks that are hours off, or jump, move no lease")
  func wallClock() throws {
    let (a, b) = (Process(table, "a"), Process(table, "b"))
    #expect(try a.take(active))
    try a.lease.claimed(at: clock.elapsed())
    #expect(try !b.look(active))
    for hours in [1, -1, 24, -2] as [Int64] {
      clock.setWall(clock.wallTime_ms() + hours * 3_600_000)
      // It leads until its time is up by the clock that does not jump …
      clock.sleep(.seconds(3))
      #expect(try a.lease.keep())
      a.post.deliver()
      #expect(try a.lease.keep())
      // … and nobody takes it for run out before.
      #expect(try !b.look(active))
    }
    clock.setWall(clock.wallTime_ms() - 3_600_000)
    let item = table.item
    let seen = clock.elapsed()
    while try !b.take(active) {
      clock.sleep(.milliseconds(250))
      guard clock.elapsed() - seen < .seconds(20) else { break }
    }
    #expect(clock.elapsed() - seen >= Self.time - .seconds(1))
    #expect(clock.elapsed() - seen <= Self.time + .seconds(1))
    #expect(table.item?.holder != item?.holder)
  }

  @Test("A process that stood still past its lease leads no more, whenever it was stopped")
  func frozen() throws {
    for isAnswered in [true, false] {
      let table = ScriptedTable()
      let (a, b) = (Process(table, "a"), Process(table, "b"))
      #expect(try a.take(active))
      try a.lease.claimed(at: table.clock.elapsed())
      #expect(try !b.look(active))
      table.clock.sleep(.seconds(5))
      // It is stopped with a renewal under way, or behind its answer.
      #expect(try a.lease.keep())
      if isAnswered { a.post.deliver() }
      for _ in 0..<60 where try !b.take(active) { table.clock.sleep(.milliseconds(250)) }
      #expect(table.item?.holder.hasPrefix("b ") == true)
      try b.lease.claimed(at: table.clock.elapsed())
      // It wakes up, and its answer with it. The other has read a moment after the request was sent.
      table.clock.sleep(.milliseconds(1))
      a.post.deliver()
      #expect(
        try !a.lease.renew(beatStarted: table.clock.elapsed(), nextBeat: .zero), "\(isAnswered)")
      a.lease.abandon()
      a.post.deliver()
      _ = try a.lease.goOn()
      #expect(table.item?.holder.hasPrefix("b ") == true && table.item?.state == .active)
      #expect(try b.lease.renew(beatStarted: table.clock.elapsed(), nextBeat: .zero))
    }
  }
}
