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

  private var options: ApplierOptions {
    var options = ApplierOptions(holder: "test")
    options.logger.logLevel = .critical
    options.checkpointBytes = 256 << 10
    options.clockTolerance = nil
    return options
  }

  private static let roundsPerDay = 12
  private static let batchesPerRound = 3

  /// What somebody submits every two hours.
  private func submit(_ round: Int, bytes: Int) throws {
    let store = try StoreDescription.read(layout, environment.fileSystem).id
    let batch = Batch([
      .init(
        "INSERT INTO op(name, noise, second) VALUES(?, random(), randomblob(?))",
        [.integer(Int64(round)), .integer(Int64(bytes))]),
      .init("DELETE FROM op WHERE place > 1 AND place < (SELECT max(place) FROM op) - 50"),
    ])
    let journal = JournalWriter(
      to: StoreHandle(layout: layout, id: store, environment: environment))
    let batches = [[UInt8]](repeating: try batch.encoded(), count: Self.batchesPerRound)
    _ = try journal.flush(batches, ends: true)
  }

  /// An applier for each two hours.
  @Test func threeWeeks() throws {
    var options = options
    options.drains = true
    options.segmentBytes = 1 << 20
    var log = WrittenLog()
    var most = (day: 0, bytes: Int64(0))
    for day in 1...21 {
      for round in 0..<Self.roundsPerDay {
        try submit(day * 100 + round, bytes: 1500)
        try Applier(path: layout.root, options: options, environment: environment)
          .run(shouldStop: { false })
        log.note(sizes(layout.log))
        clock.advance(by: .seconds(2 * 3600))
      }
      let bytes = usedBytes
      // A week, and what is kept beyond that since it goes up to a checkpoint.
      if day <= 10 { most = (day, max(most.bytes, bytes)) }
      #expect(day <= 10 || bytes <= most.bytes * 3 / 2, "day \(day): \(bytes) of \(most)")
      expectBound(bytes, log, options, day)
      try expectWeek(day)
    }
    #expect(names(layout.log).count < 13 * 12)
    #expect(names(layout.checkpoints).count <= 2 * 9)
    try expectVerified()
  }

  /// One applier that leads all along, with bytes bounded and without.
  @Test(arguments: [nil, 4 << 20] as [Int64?])
  func threeWeeksOfOneTerm(_ keepBytes: Int64?) throws {
    var options = options
    options.segmentBytes = 1 << 20
    options.leaseTime = .seconds(60 * 24 * 3600)
    options.retention.bytes = keepBytes
    let pages = try PageStore(path: layout.root, environment: environment)
    var log = WrittenLog()
    var (round, looks) = (0, 0)
    var last = try pages.snapshot(.latest).txid
    var most: Int64 = 0
    func step() throws -> Bool {
      looks += 1
      // All is applied, and there was time for what is done at rest.
      guard looks > 50, try pages.snapshot(.latest).txid == last else { return false }
      looks = 0
      log.note(sizes(layout.log))
      let day = round / Self.roundsPerDay
      if round > 0, round.isMultiple(of: Self.roundsPerDay) {
        let bytes = usedBytes
        most = max(most, bytes)
        if let keepBytes {
          #expect(bytes <= keepBytes, "day \(day)")
        } else {
          expectBound(bytes, log, options, day)
          try expectWeek(day)
        }
        if day == 21 { return true }
      }
      round += 1
      clock.advance(by: .seconds(2 * 3600))
      try submit(round, bytes: 8000)
      last = last.advanced(by: UInt64(Self.batchesPerRound))
      return false
    }
    var failure: (any Error)?
    try Applier(path: layout.root, options: options, environment: environment).run {
      do { return try step() } catch {
        failure = error
        return true
      }
    }
    if let failure { throw failure }
    #expect(round == 21 * Self.roundsPerDay)
    #expect(try terms().count == 1)
    #expect(log.newest > 8)
    // Without the bound it would be more.
    if keepBytes == nil { #expect(most > 6 << 20) }
    try expectVerified()
  }

  /// How large each segment became.
  private struct WrittenLog {
    private var sizes: [UInt64: Int64] = [:]
    /// The newest one, each time that was looked at.
    private var newests: [UInt64] = []

    var newest: UInt64 { newests.last ?? 0 }

    /// Of the segments of which some was written in the last week.
    var bytesOfAWeek: Int64 {
      let first = newests.suffix(7 * WeekTests.roundsPerDay + 1).first ?? 0
      return sizes.reduce(0) { $0 + ($1.key >= first ? $1.value : 0) }
    }

    mutating func note(_ found: [String: Int64]) {
      for (name, bytes) in found {
        if let number = StoreLayout.logNumber(name) { sizes[number] = bytes }
      }
      newests.append(sizes.keys.max() ?? 0)
    }
  }

  /// Twice a week's log, and the checkpoints that are kept.
  private func expectBound(
    _ bytes: Int64, _ log: WrittenLog, _ options: ApplierOptions, _ day: Int
  ) {
    guard day > 7 else { return }
    let largest = sizes(layout.checkpoints).values.max() ?? 0
    let checkpoints = Int64(options.retention.checkpoints + 1) * (largest + 4096)
    #expect(bytes <= 2 * log.bytesOfAWeek + checkpoints, "day \(day)")
  }

  /// Of the segments that there are, but for the store's first.
  private func terms() throws -> Set<UInt64> {
    let store = try StoreDescription.read(layout, environment.fileSystem).id
    let segments = names(layout.log).filter { StoreLayout.logNumber($0) ?? 0 > 1 }
    return Set(
      try segments.map {
        try LogSegment(path: "\(layout.log)/\($0)", store: store, environment: environment)
          .header.term
      })
  }

  private func expectVerified() throws {
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
  private func sizes(_ directory: String) -> [String: Int64] {
    var found: [String: Int64] = [:]
    for name in names(directory) {
      let path = "\(directory)/\(name)"
      let blocks = ((disk.size(path) ?? 0) + 4095) / 4096
      found[name] = (0..<blocks).reduce(0) { $0 + (disk.block(path, Int($1)) == nil ? 0 : 4096) }
    }
    return found
  }

  private var usedBytes: Int64 {
    [layout.log, layout.oldLog, layout.checkpoints].reduce(0) {
      $0 + sizes($1).values.reduce(0, +)
    }
  }
}
