import Glibc
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

/// A term whose time is not the file server's.
extension HorizonTests {
  /// A time that stood still would make its writers seem silent for that much longer, and the next term
  /// forget them too early.
  @Test(arguments: [false, true])
  func anApplierThatWasSuspendedEndsItsTerm(clockIsSetRight: Bool) throws {
    let writer = try store.journal()
    let (environment, itsClock) = suspendable()
    let applier = try Applier(path: store.path, options: store.options, environment: environment)
    var passes = 0
    func pass() -> Bool {
      passes += 1
      if passes == 8 {
        clock.advance(by: Self.day * 4)
        itsClock.miss(wall: clockIsSetRight ? .zero : Self.day * 4, boot: Self.day * 4)
        _ = try? writer.flush([insert(1).encoded()])
      }
      return passes > 100_000 || (try? store.query("SELECT a FROM t")) == [[1]]
    }
    if clockIsSetRight {
      try applier.run(shouldStop: pass)
    } else {
      let error = #expect(throws: StoreError.self) { try applier.run(shouldStop: pass) }
      #expect(error?.code == .wrongClock)
      #expect(try store.query("SELECT a FROM t") == [])
      #expect(try lastState() == .released)
      try store.drain()
    }
    #expect(passes >= 8)
    #expect(try store.query("SELECT a FROM t") == [[1]])
    let lately_ms = clock.wallTime_ms() - 3_600_000
    let id = try #require(writer.writer)
    #expect(try rows("SELECT time > \(lately_ms) FROM _sluice_writers", of: id) == [[1]])
  }

  /// Nobody has to wait, though the term before ended without release: what is known of that is handed
  /// over, too.
  @Test func aTermAfterAnUncleanEndIsHandedOver() throws {
    let writer = try store.journal()
    try writer.flush([insert(1).encoded()])
    var options = store.options
    options.beforeBatch = { _ throws(StoreError) in throw StoreError(.io, "ended by a batch") }
    #expect(throws: StoreError.self) {
      try Applier(path: store.path, options: options, environment: store.environment)
        .run(shouldStop: { false })
    }
    let (environment, itsClock) = suspendable()
    let late = try store.journal()
    store.options.leaseTime = .seconds(5)
    var passes = 0
    let error = #expect(throws: StoreError.self) {
      try Applier(path: store.path, options: store.options, environment: environment).run {
        passes += 1
        if (try? store.query("SELECT a FROM t")) == [[1]], late.writer == nil {
          clock.advance(by: Self.day * 4)
          itsClock.miss(wall: Self.day * 4, boot: Self.day * 4)
          _ = try? late.flush([insert(2).encoded()])
        }
        return passes > 100_000
      }
    }
    #expect(error?.code == .wrongClock)
    #expect(try lastState() == .released)
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == [[1], [2]])
  }

  /// The next one need not wait for it.
  @Test func aTermIsHandedOverBeforeItsCheckpointIsMade() throws {
    var (environment, itsClock) = suspendable()
    let hooked = CallingFileSystem(environment.fileSystem)
    environment.fileSystem = hooked
    let isBegun = Monitor(false)
    let states = Monitor<[Beacon.State?]>([])
    hooked.beforeWriting = { [self] path in
      guard path.contains("/checkpoints/"), states.withLock({ $0.isEmpty }) else { return }
      isBegun.withLock { $0 = true }
      for _ in 0..<200 where (try? lastState()) == .active {
        SystemClock().sleep(.milliseconds(50))
      }
      states.withLock { $0.append(try? lastState()) }
    }
    store.options.checkpointBytes = 1
    let writer = try store.journal()
    let late = try store.journal()
    try writer.flush([insert(1).encoded()])
    var passes = 0
    let error = #expect(throws: StoreError.self) {
      try Applier(path: store.path, options: store.options, environment: environment).run {
        passes += 1
        if isBegun.withLock({ $0 }), late.writer == nil {
          clock.advance(by: Self.day * 4)
          itsClock.miss(wall: Self.day * 4, boot: Self.day * 4)
          _ = try? late.flush([insert(2).encoded()])
        }
        return passes > 100_000
      }
    }
    #expect(error?.code == .wrongClock)
    for _ in 0..<200 where states.withLock({ $0.isEmpty }) {
      SystemClock().sleep(.milliseconds(50))
    }
    #expect(states.withLock { $0 } == [.released])
  }

  /// Whatever is allowed: it would end its term with each file that it reads.
  @Test func whoIsHoursBehindDoesNotLead() throws {
    let (environment, itsClock) = suspendable()
    itsClock.miss(wall: .seconds(2 * 3600), boot: .zero)
    store.options.clockTolerance = .seconds(3 * 3600)
    let segments = try store.names(store.layout.log)
    let error = #expect(throws: StoreError.self) {
      var passes = 0
      try Applier(path: store.path, options: store.options, environment: environment).run {
        passes += 1
        return passes > 100
      }
    }
    #expect(error?.code == .wrongClock)
    #expect(try store.names(store.layout.log) == segments)
  }

  /// Anybody can give a file a date.
  @Test(arguments: [.max, 4_000_000_000_000, .min] as [Int64])
  func aFileWithAnyDateEndsNoTerm(date_ms: Int64) throws {
    let writer = try store.journal()
    let first = try writer.flush([insert(1).encoded()])
    files.date(
      "\(store.layout.journal)/\(StoreLayout.journalName(JournalSegmentID(writer: first.writer, number: 1)))",
      date_ms)
    let terms = try store.names(store.layout.log).count
    var passes = 0
    try Applier(path: store.path, options: store.options, environment: store.environment).run {
      passes += 1
      return passes > 60 || (try? store.query("SELECT a FROM t")) == [[1]]
    }
    #expect(try store.names(store.layout.log).count == terms + 1)
    #expect(try store.query("SELECT a FROM t") == [[1]])
  }

  /// A million years either way at most, so that nobody's arithmetic overflows. Here on a file system
  /// that keeps any date.
  @Test(.enabled(if: access("/dev/shm", W_OK) == 0), arguments: [Int.max, .min])
  func anyDateCanBeCountedWith(seconds: Int) throws {
    let path = "/dev/shm/sluice-date-\(getpid())-\(seconds)"
    let files = PosixFileSystem()
    _ = try files.create(path, mode: 0o600)
    defer { try? files.unlink(path) }
    let times = [timespec(tv_sec: 0, tv_nsec: 0), timespec(tv_sec: seconds, tv_nsec: 0)]
    try #require(utimensat(AT_FDCWD, path, times, 0) == 0)
    #expect(try files.status(path).modified_ms.magnitude == (1 << 45) * 1000)
  }

  /// It goes by the file server's.
  @Test func aClockThatIsAheadForgetsNobody() throws {
    let writer = try store.journal()
    try writer.flush([insert(1).encoded()], ends: true)
    try store.drain()
    let (environment, itsClock) = suspendable()
    itsClock.miss(wall: Self.day * -8, boot: .zero)
    store.options.clockTolerance = nil
    try store.journal().flush([insert(2).encoded()], ends: true)
    var options = store.options
    options.drains = true
    try Applier(path: store.path, options: options, environment: environment)
      .run(shouldStop: { false })
    #expect(try isKnown(writer.writer))
    try writer.flush([insert(3).encoded()], ends: true)
    try store.drain()
    #expect(try store.query("SELECT a FROM t ORDER BY a") == [[1], [2], [3]])
  }
}
