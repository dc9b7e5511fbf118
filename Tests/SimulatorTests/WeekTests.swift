import Logging
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceSimulator
import SluiceWriter
import Testing

@Suite("A store's size follows what is to be kept, not its age")
struct WeekTests {
  private let layout = StoreLayout("/store")
  private let clock = ManualClock()
  private let disk: MemoryDisk
  private let environment: Environment

  init() throws {
    disk = try StoreTemplate(pageSize: 4096).disk.copy(clock: clock)
    let random = Monitor(SeededRandom(seed: 7))
    environment = Environment(
      fileSystem: MemoryFileSystem(disk, clock: clock), clock: clock, executor: InlineExecutor(),
      random: { random.withLock { $0.next() } })
  }

  /// Every two hours somebody submits some batches, and an applier applies them: for three weeks.
  @Test func threeWeeks() throws {
    var options = ApplierOptions(holder: "test")
    options.logger.logLevel = .critical
    options.drains = true
    options.segmentBytes = 1 << 20
    options.checkpointBytes = 256 << 10
    options.clockTolerance = nil
    let store = try StoreDescription.read(layout, environment.fileSystem).id
    let text = String(repeating: "x", count: 3000)
    var most = (day: 0, bytes: Int64(0))
    for day in 1...21 {
      for hour in 0..<12 {
        let batch = Batch([
          .init(
            "INSERT INTO op(name, noise, second) VALUES(?, random(), ?)",
            [.integer(Int64(day * 100 + hour)), .text(text)]),
          .init(
            "DELETE FROM op WHERE place > 1 AND place < (SELECT max(place) FROM op) - 50"),
        ])
        let journal = JournalWriter(layout: layout, store: store, environment: environment)
        _ = try journal.flush([batch.encoded(), batch.encoded(), batch.encoded()], ends: true)
        try Applier(path: layout.root, options: options, environment: environment)
          .run(shouldStop: { false })
        clock.advance(by: .seconds(2 * 3600))
      }
      let bytes = usedBytes
      // A week, and what is kept beyond that since it goes up to a checkpoint.
      if day <= 10 { most = (day, max(most.bytes, bytes)) }
      #expect(day <= 10 || bytes <= most.bytes * 3 / 2, "day \(day): \(bytes) of \(most)")
      try expectWeek(day)
    }
    #expect(names(layout.log).count < 13 * 12)
    #expect(names(layout.checkpoints).count <= 2 * 9)
    let damages = Monitor([Verification.Damage]())
    let summary = try Verification(
      store: layout.root, environment,
      onDamage: { damage in damages.withLock { $0.append(damage) } }
    ).run()
    #expect(damages.withLock { $0 } == [])
    #expect((summary.first ?? .zero) > TxID(300))
  }

  /// Any state of the last seven days can be read, and none of long before.
  private func expectWeek(_ day: Int) throws {
    let pages = try PageStore(path: layout.root, environment: environment)
    let now_ms = clock.wallTime_ms()
    let week_ms: Int64 = 7 * 24 * 3_600_000
    let present = try pages.snapshot(.latest)
    for part in 0...4 as ClosedRange<Int64> where day >= 7 || part == 0 {
      let time_ms = now_ms - week_ms * part / 4
      let snapshot = try pages.snapshot(.asOf(.time_ms(time_ms)))
      #expect(snapshot.extent.time_ms <= time_ms && snapshot.txid <= present.txid)
      #expect(snapshot.extent.time_ms > time_ms - 3 * 3_600_000 || day < 8)
    }
    guard day > 10 else { return }
    let error = #expect(throws: StoreError.self) {
      try pages.snapshot(.asOf(.time_ms(now_ms - week_ms * 10 / 7)))
    }
    #expect(error?.code == .snapshotExpired)
  }

  private func names(_ directory: String) -> [String] { disk.names(in: directory) }

  /// Blocks that hold something.
  private var usedBytes: Int64 {
    [layout.log, layout.oldLog, layout.checkpoints].reduce(0) { sum, directory in
      names(directory).reduce(sum) { sum, name in
        let path = "\(directory)/\(name)"
        let blocks = ((disk.size(path) ?? 0) + 4095) / 4096
        return sum + (0..<blocks).reduce(0) { $0 + (disk.block(path, Int($1)) == nil ? 0 : 4096) }
      }
    }
  }
}
