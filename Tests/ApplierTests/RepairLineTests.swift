import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Synchronization
import Testing

@Suite("A line that a repair begins is taken for no part of the one before")
struct RepairLineTests {
  /// With pages of the lost batches in memory, and SQLite's cache of them.
  @Test("A reader that saw what is lost begins anew, and mixes nothing")
  func reader() throws {
    let store = try WorkedStore()
    let pages = try PageStore(path: store.path, environment: store.environment)
    let database = Database(pages, executor: store.environment.executor)
    let everything = "SELECT id, v FROM t ORDER BY id"
    let lost = try database.read { try $0.query(everything) }
    #expect(pages.current.txid == TxID(7))
    try store.flipFrame(of: TxID(7))
    try store.repair()
    #expect(try database.read { try $0.query(everything) } == store.rowsOfBatch6)
    #expect(lost != store.rowsOfBatch6)
    // As many commits as were lost, and more: no counter is what it was.
    for i in 1...4 {
      try store.apply("INSERT INTO t(v) VALUES(\(i))")
      let fresh = try store.rows()
      #expect(try database.read { try $0.query(everything) } == fresh)
      #expect(pages.current.txid == TxID(WorkedStore.line.rawValue + UInt64(i)))
    }
  }

  /// It is not read between the repair and commits that bring SQLite's change counter to where it was.
  @Test("A connection that slept meanwhile takes no old page for a new one")
  func sleepingConnection() throws {
    let store = try WorkedStore()
    let pages = try PageStore(path: store.path, environment: store.environment)
    let database = Database(pages, executor: store.environment.executor)
    _ = try database.read { try $0.query("SELECT id, v FROM t ORDER BY id") }
    try store.flipFrame(of: TxID(7))
    try store.repair()
    // One commit was lost: without more this one would have its counter.
    try store.apply("UPDATE t SET v = 'other' WHERE id = 3")
    #expect(
      try database.read { try $0.query("SELECT id, v FROM t ORDER BY id") } == store.rows())
  }

  @Test("Who asks for a batch that is lost is told so, whoever read before")
  func token() throws {
    let store = try WorkedStore()
    let running = try PageStore(path: store.path, environment: store.environment)
    try store.flipFrame(of: TxID(7))
    try store.repair()
    try store.apply("INSERT INTO t(v) VALUES('new')")
    _ = try running.snapshot(.latest)
    for pages in [running, try PageStore(path: store.path, environment: store.environment)] {
      do {
        let error = #expect(throws: StoreError.self) {
          try pages.snapshot(.atLeast(TxID(7), timeout: .zero))
        }
        #expect(error?.message.hasPrefix("batch 7 is lost") == true)
      }
      #expect(
        try pages.snapshot(.atLeast(WorkedStore.line.next, timeout: .zero)).txid
          == WorkedStore.line.next)
      #expect(try pages.snapshot(.atLeast(TxID(6), timeout: .zero)).txid > TxID(6))
    }
  }

  @Test("A feed that stood in the lost part tells of the gap, and goes on")
  func feed() throws {
    let store = try WorkedStore()
    let feed = try ChangeFeed(path: store.path, from: TxID(1), environment: store.environment)
    try feed.advance { _ in }
    #expect(feed.txid == TxID(7))
    try store.flipFrame(of: TxID(7))
    try store.repair()
    try store.apply("INSERT INTO t(v) VALUES('new')")
    var gaps: [ClosedRange<TxID>] = []
    var seen: [TxID] = []
    try feed.advance(onGap: { gaps.append($0.batches) }) { seen.append($0.txid) }
    #expect(gaps == [TxID(8)...WorkedStore.line] && seen == [WorkedStore.line.next])
  }

  @Test(
    "A segment of the part that has ended, which lies in log/ again, is named",
    arguments: [true, false])
  func endedSegment(hasBeacon: Bool) throws {
    let store = try WorkedStore()
    store.store.isDamagedOnPurpose = true
    let path = try #require(store.segments().first)
    let content = try PosixFileSystem().open(path, .fixed).read(1 << 20, at: 0)
    try store.flipFrame(of: TxID(7))
    try store.repair()
    #expect(try store.damages() == [])
    let file = try PosixFileSystem().create(path, mode: 0o644)
    try file.write(content, at: 0)
    if !hasBeacon {
      for slot in [Block.beacons.0, Block.beacons.1] { try file.write([1, 2, 3], at: slot) }
    }
    let damages = try store.damages()
    #expect(damages.map(\.path) == [path], "\(damages)")
    #expect(damages.first?.what.contains("a repair has ended") == true, "\(damages)")
  }

  @Test("What is still in the journal of the lost batches is executed again")
  func journal() throws {
    let store = try WorkedStore()
    let journal = try store.store.journal()
    _ = try journal.flush([
      try Batch([Batch.Statement("INSERT INTO t(v) VALUES('mine')")]).encoded()
    ])
    let before = try store.segments()
    try store.drain()
    #expect(try store.rows().contains { $0[1] == .text("mine") })
    // What that term wrote is lost; its writer's segment is still open, and so still there.
    for path in try store.segments() where !before.contains(path) {
      try store.environment.fileSystem.unlink(path)
    }
    try store.repair()
    #expect(try store.rows() == store.rowsOfBatch7)
    try store.drain()
    #expect(try store.rows().contains { $0[1] == .text("mine") })
    #expect(
      try PageStore(path: store.path, environment: store.environment).current.txid
        == WorkedStore.line.next)
  }

  @Test("A writer whose lost batches are nowhere is refused, and told what is missing")
  func writer() throws {
    let store = try WorkedStore()
    let journal = try store.store.journal()
    let before = try store.segments()
    // The segment ends with it, and is removed when it is published.
    _ = try journal.flush(
      [try Batch([Batch.Statement("INSERT INTO t(v) VALUES('mine')")]).encoded()], ends: true)
    try store.drain()
    #expect(try store.names(store.layout.journal) == ["quarantine"])
    for path in try store.segments() where !before.contains(path) {
      try store.environment.fileSystem.unlink(path)
    }
    try store.repair()
    _ = try journal.flush([
      try Batch([Batch.Statement("INSERT INTO t(v) VALUES('next')")]).encoded()
    ])
    try store.drain()
    let rejected = try store.store.query(
      "SELECT code, message FROM _sluice_rejected WHERE txid > 7")
    #expect(rejected.first?.first == .text("expiredWriter"), "\(rejected)")
    #expect(try !store.rows().contains { $0[1] == .text("next") })
    // Another one goes on.
    #expect(try store.apply("INSERT INTO t(v) VALUES('other')").isApplied)
  }

  @Test("Who claimed since the loss was looked at is not written over")
  func beside() throws {
    let store = try WorkedStore()
    try store.flipFrame(of: TxID(7))
    let plan = try store.newRepair().plan()
    let newest = try #require(store.segments().last)
    try store.store.environment.fileSystem.link(
      newest, to: store.layout.segment(7))
    do {
      let error = #expect(throws: StoreError.self) {
        try store.newRepair().perform(plan)
      }
      #expect(error?.code == .notLeading)
    }
    // Nothing is decided, and nothing is gone.
    #expect(try store.segments().contains(newest))
  }

  @Test("While an applier leads nothing is repaired")
  func leads() throws {
    let store = try WorkedStore()
    try store.flipFrame(of: TxID(7))
    var repair = store.newRepair()
    let plan = try repair.plan()
    // Its beats are seen although nobody can tell what they say.
    let newest = try #require(store.segments().last)
    try store.flip(newest, 4096 + 33)
    let clock = BeatingClock(store.unhurried.clock) {
      try? flipByte(newest, Block.beacons.0 + 80)
    }
    var environment = store.store.environment
    environment.clock = clock
    repair = Repair(store: store.path, name: "test", environment: environment)
    do {
      let error = #expect(throws: StoreError.self) {
        try repair.perform(plan)
      }
      #expect(error?.code == .busy)
    }
    #expect(try !store.names(store.path).contains("repaired"))
  }

  private static let changes: Set<FileOperation.Action> = [
    .create, .link, .unlink, .makeDirectory, .setPermissions, .syncDirectory, .write, .sync,
    .resize, .replaceSymbolicLink,
  ]

  @Test("Cut off at any place, it is finished by the next one")
  func cutOff() throws {
    let whole = try WorkedStore()
    try whole.flipFrame(of: TxID(7))
    var place = 0
    while true {
      place += 1
      let store = try whole.copied()
      let repair = Repair(
        store: store.path, name: "test", environment: store.failing(after: place, Self.changes))
      let plan = try store.newRepair().plan()
      let isDone = (try? repair.perform(plan)) != nil
      if !isDone { try store.repair() }
      #expect(try store.damages() == [], "cut off at \(place)")
      #expect(try store.rows() == store.rowsOfBatch6, "cut off at \(place)")
      let description = try StoreDescription.read(store.layout, store.store.environment.fileSystem)
      #expect(description.lost(with: TxID(7)) != nil, "cut off at \(place)")
      #expect(try store.apply("INSERT INTO t(v) VALUES('next')").isApplied, "cut off at \(place)")
      if isDone { break }
    }
    #expect(place > 20)
  }

  /// Somebody puts back what was lost, or finds that it was not: the checkpoint of the line is there, and the
  /// line never began.
  @Test("Cut off before it began, it is nobody's history")
  func cutOffBeforeItBegan() throws {
    let whole = try WorkedStore()
    let frame = try whole.placeOfFrame(of: TxID(7))
    let segment = try #require(whole.segments().last?.split(separator: "/").last)
    try whole.flipFrame(of: TxID(7))
    var unbegun = 0
    for place in 1... {
      let store = try whole.copied()
      let repair = Repair(
        store: store.path, name: "test", environment: store.failing(after: place, Self.changes))
      let plan = try store.newRepair().plan()
      guard (try? repair.perform(plan)) == nil,
        try store.segments().allSatisfy({ !$0.contains("000001000000") })
      else { break }
      if try store.names(store.layout.checkpoints).contains(where: { $0.hasPrefix("0001") }) {
        unbegun += 1
      }
      try store.flip("\(store.layout.log)/\(segment)", frame.offset + 20)
      let other = try store.copied()
      let mending = try store.newRepair().plan()
      #expect(mending.lost.isEmpty, "cut off at \(place)")
      try store.newRepair().perform(mending)
      #expect(try store.damages() == [], "cut off at \(place)")
      #expect(try store.rows() == store.rowsOfBatch7, "cut off at \(place)")
      #expect(try store.apply("INSERT INTO t(v) VALUES('next')").isApplied)
      // And who applies without having repaired.
      #expect(try other.apply("INSERT INTO t(v) VALUES('next')").isApplied)
      let pages = try PageStore(path: other.path, environment: other.environment)
      #expect(pages.current.txid == TxID(8))
      let checkpoint = Checkpoint(of: pages.handle)
      #expect(try checkpoint.newest(upTo: other.store.present().published) == TxID(6))
    }
    // Its checksums alone, and with the database.
    #expect(unbegun >= 2)
  }
}

extension WorkedStore {
  /// Everything that it changes but for the first so many fails.
  fileprivate func failing(after limit: Int, _ changes: Set<FileOperation.Action>) -> Environment {
    let count = Atomic<Int>(0)
    var environment = unhurried
    environment.fileSystem = HookedFileSystem { operation in
      guard changes.contains(operation.action) else { return .done }
      return count.add(1, ordering: .relaxed).newValue < limit
        ? .done : .fails(.posix(5, operation.path))
    }
    return environment
  }
}

private func flipByte(_ path: String, _ offset: Int64) throws {
  let file = try PosixFileSystem().open(path, .write)
  let byte = try file.read(1, at: offset)
  try file.write([(byte.first ?? 0) ^ 1], at: offset)
}

/// Something happens whenever somebody waits.
private struct BeatingClock: Clock {
  private let clock: any Clock
  private let beat: @Sendable () -> Void

  init(_ clock: any Clock, _ beat: @escaping @Sendable () -> Void) {
    self.clock = clock
    self.beat = beat
  }

  func wallTime_ms() -> Int64 { clock.wallTime_ms() }
  func bootTime_ns() -> UInt64 { clock.bootTime_ns() }
  func sleep(_ duration: Duration) {
    beat()
    clock.sleep(duration)
  }
}
