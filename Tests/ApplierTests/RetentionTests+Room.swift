import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@testable import SluiceApplier

/// A disk on which little room is left, or none.
extension RetentionTests {
  /// With segments in `log/old/` that are in their hour.
  func superseded() throws -> TestStore {
    let store = try worked()
    try retire(store, settings(readers: .seconds(3600)))
    try #require(try numbers(store, store.layout.oldLog) == Array(1...6))
    store.options.retention = settings(readers: .seconds(3600))
    store.options.retention.keep = .seconds(3600)
    return store
  }

  private static let room = DiskRoom(freeBytes: Limits.scarceBytes, totalBytes: 1 << 40)

  @Test(
    "Where little room is left, an applier that has nothing to write removes what may go without its hour",
    arguments: [
      (nil, false), (room, false),
      (DiskRoom(freeBytes: room.freeBytes - 1, totalBytes: 1 << 40), true),
      (DiskRoom(freeBytes: 16 << 20, totalBytes: 256 << 20), false),
      (DiskRoom(freeBytes: (16 << 20) - 1, totalBytes: 256 << 20), true),
    ] as [(DiskRoom?, Bool)])
  func goesWhereRoomIsScarce(_ said: DiskRoom?, isScarce: Bool) throws {
    let store = try superseded()
    let device = ScarceDisk(store.environment.fileSystem, for: "/journal/", saying: said)
    store.environment.fileSystem = device
    let log = NotedLog()
    store.options.logger = log.logger
    let batch = Batch([.init("INSERT INTO t VALUES('full')")])
    do {
      let writer = try impatient(store)
      #expect(throws: StoreError.self) { try writer.submitBlocking(batch) }
      writer.closeBlocking()
    }
    // It has nothing to write.
    try store.drain()
    #expect(try numbers(store, store.layout.oldLog) == (isScarce ? [] : Array(1...6)))
    let told = log.text.contains("the disk is full; what is older than what is kept was removed")
    #expect(told == isScarce, "\(log.text)")
    let writer = try impatient(store)
    if isScarce {
      let receipt = try writer.submitBlocking(batch)
      try store.drain()
      #expect(try writer.outcomeBlocking(of: receipt, timeout: .seconds(30)).outcome.isApplied)
    } else {
      #expect(throws: StoreError.self) { try writer.submitBlocking(batch) }
    }
    writer.closeBlocking()
    // Of checkpoints and the log what is kept is there.
    #expect(try damages(store) == [])
  }

  /// It waits for nobody's room.
  private func impatient(_ store: TestStore, _ patience: Duration = .zero) throws -> Writer {
    var options = Writer.Options()
    options.fullDiskPatience = patience
    return try Writer(store: store.path, options: options, environment: store.environment)
  }

  // MARK: while somebody leads

  /// What is older than is kept goes at other times hourly only.
  private func onDisk(_ bytes: Int64) throws -> (store: TestStore, disk: BudgetDisk) {
    let store = try superseded()
    store.options.retention.pause = .seconds(3600)
    let disk = BudgetDisk(store.environment.fileSystem, bytes: bytes)
    store.environment.fileSystem = disk
    return (store, disk)
  }

  private func leading(_ store: TestStore, _ body: () throws -> Void) throws {
    let stops = Monitor(false)
    nonisolated(unsafe) let applier = try Applier(
      path: store.path, options: store.options, environment: store.environment)
    let work = ThreadExecutor.shared.start {
      try? applier.run { stops.withLock { $0 } }
    }
    defer {
      stops.withLock { $0 = true }
      work.wait()
    }
    try body()
  }

  private func write(_ writer: Writer) throws {
    let receipt = try writer.submitBlocking(Batch([.init("INSERT INTO t VALUES('full')")]))
    let outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(30)).outcome
    #expect(outcome.isApplied)
  }

  /// Others fill the disk while nothing is written here, and a leader looks again in an hour.
  @Test(
    "A writer that finds no room waits until the leader, which it tells, has made some",
    arguments: [true, false])
  func toldThatItIsFull(takesHints: Bool) throws {
    let (store, disk) = try onDisk(64 << 20)
    store.options.hints = takesHints ? .loopback : nil
    try leading(store) {
      let writer = try impatient(store, .seconds(takesHints ? 60 : 2))
      try write(writer)
      // It looks once more behind that.
      SystemClock().sleep(Limits.roomPause * 2)
      #expect(try numbers(store, store.layout.oldLog) == Array(1...6))
      disk.fill(leaving: 0)
      let began = SystemClock().elapsed()
      if takesHints {
        try write(writer)
        #expect(SystemClock().elapsed() - began < .seconds(20))
      } else {
        let error = #expect(throws: StoreError.self) { try write(writer) }
        #expect(error?.isFullDisk == true && error?.code == .outcomeUnknown)
        disk.fill(leaving: 16 << 20)
        try write(writer)
      }
      #expect(disk.refusals > 0)
      #expect(try numbers(store, store.layout.oldLog) == (takesHints ? [] : Array(1...6)))
      writer.closeBlocking()
    }
    #expect(try damages(store) == [])
  }

  @Test("While something is written the leader looks whether room is left, and nobody is refused")
  func looksWhileBusy() throws {
    let (store, disk) = try onDisk(64 << 20)
    store.options.hints = nil
    try leading(store) {
      let writer = try impatient(store)
      try write(writer)
      // The first look is made by then.
      SystemClock().sleep(Limits.roomPause * 2)
      disk.fill(leaving: 3 << 20)
      let clock = SystemClock()
      let end = clock.elapsed() + .seconds(30)
      while try !numbers(store, store.layout.oldLog).isEmpty, clock.elapsed() < end {
        try write(writer)
        clock.sleep(.milliseconds(100))
      }
      #expect(clock.elapsed() < end)
      #expect(disk.refusals == 0)
      writer.closeBlocking()
    }
    #expect(try damages(store) == [])
  }
}
