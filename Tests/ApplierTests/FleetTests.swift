import Foundation
import Logging
import SluiceHints
import SluiceJournal
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@testable import SluiceApplier
@testable import SluiceFakes

/// Real fleets, in this process, on stores of a directory.
@Suite("One process serves many stores, and each as if it were alone", .serialized)
struct FleetTests {
  private let directory = try? FleetDirectory()

  /// Nothing is answered while it is silent.
  private final class Silent: HookedFileSystem, @unchecked Sendable {
    // Sendable: what changes is under a monitor.
    private let isSilent = Monitor(false)

    init() { super.init() }

    func set(_ silent: Bool) {
      isSilent.withLock { $0 = silent }
      isSilent.wakeAll()
    }

    override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
      isSilent.wait { $0 ? nil : () }
      return .done
    }
  }

  /// Counts how often somebody waits for something.
  private struct CountingClock: Clock {
    let base = SystemClock()
    let waits = Monitor(0)

    func wallTime_ms() -> Int64 { base.wallTime_ms() }
    func bootTime_ns() -> UInt64 { base.bootTime_ns() }
    func sleep(_ duration: Duration) { base.sleep(duration) }

    func wait<Value, R>(
      on monitor: Monitor<Value>, atMost limit: Duration, _ take: (inout Value) -> R?
    ) -> R? {
      waits.withLock { $0 += 1 }
      return base.wait(on: monitor, atMost: limit, take)
    }
  }

  /// All that there is is being looked after: nothing is due, for as long as that takes.
  @Test func threadsWithNothingToDoRest() throws {
    let directory = try #require(directory)
    try directory.make("store")
    let (files, clock) = (Silent(), CountingClock())
    let running = try RunningFleet(.all(in: directory.path), on: files, clock: clock)
    eventually("it is led") { running.leads == 1 }
    files.set(true)
    SystemClock().sleep(.seconds(2))
    let before = clock.waits.withLock { $0 }
    SystemClock().sleep(.seconds(1))
    let waits = clock.waits.withLock { $0 } - before
    files.set(false)
    #expect(waits < 500, "\(waits)")
    running.stop()
  }

  @Test func allOfADirectoryAreServed() throws {
    let directory = try #require(directory)
    let stores = try (0..<20).map { try directory.make("store \($0)") }
    let running = try RunningFleet(.all(in: directory.path)) { $0.leaseTime = .seconds(10) }
    for store in stores { #expect(try isApplied("CREATE TABLE t(a)", store)) }
    for store in stores { #expect(try isApplied("INSERT INTO t VALUES (1)", store)) }
    eventually("all are led") { running.leads == stores.count }
    running.stop()
    for store in stores { #expect(try beacon(store).state == .released) }
  }

  @Test func storesThatAppearAndVanishAreNoticed() throws {
    let directory = try #require(directory)
    try directory.make("first")
    try FileManager.default.createDirectory(
      atPath: "\(directory.path)/no store", withIntermediateDirectories: true)
    let running = try RunningFleet(.all(in: directory.path))
    eventually("the first is led") { running.leads == 1 }
    let second = try directory.make("second")
    #expect(try isApplied("CREATE TABLE t(a)", second))
    eventually("both are led") { running.leads == 2 }
    // Removing finds no names that the applier removed first, and no end while it makes new ones.
    eventually("the second is removed") {
      try? FileManager.default.removeItem(atPath: second)
      return !FileManager.default.fileExists(atPath: second)
    }
    eventually("the second is let go") {
      running.leads == 1 && running.fleet.state.withLock { $0.stores.count == 1 }
    }
    #expect(running.stop().isEmpty)
  }

  /// Hides a name from listings.
  private final class Hiding: HookedFileSystem, @unchecked Sendable {
    // Sendable: what changes is under a lock.
    let name: String
    let times = Monitor(0)
    let isOn = Monitor(false)

    init(_ name: String) {
      self.name = name
      super.init()
    }

    override func listed(_ names: [String], in directory: String) -> [String] {
      guard isOn.withLock({ $0 }), names.contains(name) else { return names }
      times.withLock { $0 += 1 }
      return names.filter { $0 != name }
    }
  }

  @Test func aListingThatMissesANameEndsNoTerm() throws {
    let directory = try #require(directory)
    let store = try directory.make("hidden")
    let files = Hiding("hidden")
    let running = try RunningFleet(.all(in: directory.path), on: files) {
      $0.leaseTime = .seconds(10)
    }
    eventually("it is led") { running.leads == 1 }
    files.isOn.withLock { $0 = true }
    eventually("it was missed") { files.times.withLock { $0 } >= 3 }
    files.isOn.withLock { $0 = false }
    #expect(try isApplied("CREATE TABLE t(a)", store))
    let segments = try FileManager.default.contentsOfDirectory(atPath: "\(store)/log")
      .compactMap(StoreLayout.logNumber)
    #expect(segments.max() == 2, "\(segments)")
    #expect(running.stop().isEmpty)
  }

  @Test func whatIsMovedAwayIsReleasedFirst() throws {
    let directory = try #require(directory)
    let store = try directory.make("store")
    let running = try RunningFleet(.all(in: directory.path))
    eventually("it is led") { running.leads == 1 }
    let moved = "\(directory.path)/.moved"
    try FileManager.default.moveItem(atPath: store, toPath: moved)
    eventually("it is let go") { running.fleet.state.withLock { $0.stores.isEmpty } }
    #expect(try beacon(moved).state == .released)
    #expect(running.stop().isEmpty)
  }

  private func beacon(_ store: String) throws -> Beacon { try present(store).beacon }

  private func present(_ store: String) throws -> Log.Present {
    try Log(of: StoreHandle(at: StoreLayout(store), .posix())).present()
  }

  @Test func oneThatFailsStopsNoOther() throws {
    let directory = try #require(directory)
    let stores = try ["a", "b", "c"].map { try directory.make($0) }
    // Not a segment that anybody can claim behind.
    directory.teardown.isDamagedOnPurpose = true
    for name in try FileManager.default.contentsOfDirectory(atPath: "\(stores[1])/log") {
      try? FileManager.default.removeItem(atPath: "\(stores[1])/log/\(name)")
    }
    let running = try RunningFleet(.these(stores))
    for store in [stores[0], stores[2]] { #expect(try isApplied("CREATE TABLE t(a)", store)) }
    eventually("the others are led") { running.leads == 2 }
    #expect(running.stop().isEmpty)
  }

  /// Long batches, as many as may be executed at once, and other stores that are written to meanwhile.
  @Test func aLongBatchKeepsNobodysLeaseNorLooks() throws {
    let directory = try #require(directory)
    let stores = try (0..<10).map { try directory.make("\($0)") }
    let running = try RunningFleet(.all(in: directory.path)) { $0.leaseTime = .seconds(5) }
    for store in stores { #expect(try isApplied("CREATE TABLE t(a)", store)) }
    let long =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 15000000) INSERT INTO t SELECT count(*) FROM n"
    let ends = Monitor(0)
    let count = Limits.executingOfMany
    for store in stores.prefix(count) {
      startThread {
        let isDone = (try? isApplied(long, store)) ?? false
        ends.withLock { $0 += isDone ? 1 : 100 }
        ends.wakeAll()
      }
    }
    SystemClock().sleep(.milliseconds(300))
    for store in stores.dropFirst(count) {
      #expect(try isApplied("INSERT INTO t VALUES (1)", store))
    }
    let ended = ends.wait(atMost: .seconds(240) * TestStore.patience) { $0 >= count ? $0 : nil }
    #expect(ended == count)
    // Nobody fell silent: each is led by the term that it began with.
    for store in stores {
      let segments = try FileManager.default.contentsOfDirectory(atPath: "\(store)/log")
        .compactMap(StoreLayout.logNumber)
      #expect(segments.max() == 2, "\(store): \(segments)")
    }
    running.stop()
  }

  @Test func aDrainEndsWithWhatItCouldNotApply() throws {
    let directory = try #require(directory)
    let stores = try ["a", "b"].map { try directory.make($0) }
    for store in stores {
      let writer = try Writer(store: store)
      _ = try writer.submitBlocking(Batch([Batch.Statement("CREATE TABLE t(a)")]))
      writer.closeBlocking()
    }
    let errors = try RunningFleet(.all(in: directory.path)) { $0.drains = true }.ended()
    #expect(errors.isEmpty)
    for store in stores { #expect(try !isUnapplied(store)) }
  }

  private func isUnapplied(_ store: String) throws -> Bool {
    try present(store).extent.txid == .zero
  }

  @Test func twoShareThemEvenlyAndOneTakesOverTheOthers() throws {
    let directory = try #require(directory)
    let stores = try (0..<12).map { try directory.make("\($0)") }
    let lease = Duration.seconds(20)
    let first = try RunningFleet(.all(in: directory.path)) { $0.leaseTime = lease }
    eventually("all are led") { first.leads == 12 }
    let second = try RunningFleet(.all(in: directory.path), holder: "two") { $0.leaseTime = lease }
    eventually("they are shared", within: .seconds(60)) { first.leads == 6 && second.leads == 6 }
    SystemClock().sleep(.seconds(5))
    eventually("they are shared still") { first.leads == 6 && second.leads == 6 }
    for store in stores { #expect(try isApplied("CREATE TABLE t(a)", store)) }
    let began = SystemClock().elapsed()
    first.stop()
    eventually("the other has them all") { second.leads == 12 }
    #expect(SystemClock().elapsed() - began < lease / 2)
    for store in stores { #expect(try isApplied("INSERT INTO t VALUES (1)", store)) }
    second.stop()
  }

  /// Who is given the same list shares it, in whatever order and wherever its stores are; who has another list of the same
  /// directory takes no part.
  @Test(arguments: [false, true])
  func twoShareAListAndOneTakesOverTheOthers(isSpread: Bool) throws {
    let directory = try #require(directory)
    let stores = try (0..<6).map {
      try directory.make("listed \($0)", in: isSpread && $0 % 2 == 0 ? "place \($0)" : nil)
    }
    let rest = try (0..<2).map { try directory.make("another's \($0)") }
    let lease = Duration.seconds(10)
    let first = try RunningFleet(.these(stores)) { $0.leaseTime = lease }
    let other = try RunningFleet(.these(rest), holder: "other") { $0.leaseTime = lease }
    eventually("all are led", within: lease * 6) { first.leads == 6 && other.leads == 2 }
    let same = stores.reversed().map { "\($0)/" }
    let second = try RunningFleet(.these(same), holder: "two") { $0.leaseTime = lease }
    eventually("the list is shared", within: lease * 12) { first.leads == 3 && second.leads == 3 }
    #expect(first.processes == 2 && second.processes == 2)
    #expect(other.processes == 1 && other.leads == 2)
    for store in stores + rest { #expect(try isApplied("CREATE TABLE t(a)", store)) }
    first.stop()
    eventually("the other has the list", within: lease * 6) { second.leads == 6 }
    for store in stores { #expect(try isApplied("INSERT INTO t VALUES (1)", store)) }
    #expect(other.leads == 2)
    second.stop()
    other.stop()
  }

  /// As many stores have batches for long as may execute at once. What they have left says how long others waited.
  @Test func aBusyStoreDoesNotStarveTheOthers() throws {
    let directory = try #require(directory)
    let busy = try (0..<Limits.executingOfMany).map { try directory.make("busy \($0)") }
    let others = try (0..<10).map { try directory.make("other \($0)") }
    let running = try RunningFleet(.all(in: directory.path)) { $0.leaseTime = .seconds(10) }
    for store in busy + others { #expect(try isApplied("CREATE TABLE t(a)", store)) }
    let count = 200
    let batch = Batch([
      Batch.Statement(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) INSERT INTO t SELECT count(*) FROM n"
      )
    ])
    let writers = try busy.map { try Writer(store: $0) }
    for writer in writers {
      let flood = writer.submitBlocking(Array(repeating: batch, count: count))
      for result in flood { _ = try result.get() }
    }
    // Behind the first, which made the table.
    func applied() throws -> [Int] {
      try busy.map { Int(try present($0).extent.txid.rawValue) - 1 }
    }
    try eventually("the flood began") { try applied().allSatisfy { $0 > 0 } }
    let single = try others.map { try Writer(store: $0) }
    let receipts = try single.map {
      try $0.submitBlocking(Batch([Batch.Statement("INSERT INTO t VALUES (1)")]))
    }
    for (writer, receipt) in zip(single, receipts) {
      let report = try writer.outcomeBlocking(
        of: receipt, timeout: .seconds(240) * TestStore.patience)
      #expect(report.outcome.isApplied)
    }
    let done = try applied()
    print("ten batches of others behind \(done) of \(count) of the busy stores")
    #expect(done.reduce(0, +) < count * busy.count / 2, "\(done)")
    for writer in writers + single { writer.closeBlocking() }
    running.stop()
  }

  /// Of even processes neither asks the other for hints. Who releases a store tells it all the same: by looking alone
  /// it would be seen in 32 s, and that a process has gone in 20.
  @Test func theStoresOfAProcessThatStopsAreNotLeftAlone() throws {
    let directory = try #require(directory)
    let lease = Duration.seconds(80)
    let first = try RunningFleet(.all(in: directory.path)) { $0.leaseTime = lease }
    let second = try RunningFleet(.all(in: directory.path), holder: "two") { $0.leaseTime = lease }
    eventually("they know of each other", within: .seconds(60)) {
      [first, second].allSatisfy { $0.processes == 2 }
    }
    for name in 0..<12 { try directory.make("\(name)") }
    eventually("all are led", within: .seconds(60)) { first.leads == 6 && second.leads == 6 }
    // Each has looked once at what the other leads.
    SystemClock().sleep(.seconds(25))
    let began = SystemClock().elapsed()
    first.stop()
    eventually("the other has them all") { second.leads == 12 }
    let took = SystemClock().elapsed() - began
    print("6 stores of a process that stopped led again after \(took)")
    #expect(took < lease / 5)
    second.stop()
  }

  /// What a store at rest asks of the file server.
  @Test func storesAtRestAskForLittle() throws {
    let directory = try #require(directory)
    for name in 0..<20 { try directory.make("\(name)") }
    let running = try RunningFleet(.all(in: directory.path)) { $0.leaseTime = .seconds(10) }
    eventually("all are led") { running.leads == 20 }
    SystemClock().sleep(.seconds(5))
    running.files.reset()
    SystemClock().sleep(.seconds(10))
    let operations = running.files.total
    print("20 stores at rest for ten seconds: \(operations) file operations")
    // A beat in four seconds, and a look in two.
    #expect(operations < 20 * 10 * 4)
    running.stop()
  }
}
