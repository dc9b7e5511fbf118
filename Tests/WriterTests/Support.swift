import SluiceJournal
import SluiceShared
import SluiceTeardown
import Testing

@testable import SluiceWriter

/// A store made by hand in a directory of its own, verified and removed at the end. Its database has no page.
final class TestStore: VerifiedStore, Sendable {
  let teardown: StoreTeardown
  let layout: StoreLayout
  let id: StoreID
  let files = WatchedFileSystem()

  init(at place: SourceLocation = #_sourceLocation) throws {
    teardown = StoreTeardown(at: place)
    let base = PosixFileSystem()
    let name = hexadecimal(UInt64.random(in: .min ... .max), width: 16)
    layout = StoreLayout("/tmp/sluice-writer-\(name)")
    id = StoreID(time_ms: SystemClock().wallTime_ms(), random: { .random(in: .min ... .max) })
    for directory in [layout.root] + directories {
      try base.makeDirectory(directory, mode: 0o755)
    }
    let description = StoreDescription(id: id, pageSize: 4096, lease: .file, foreignKeys: true)
    try base.create(layout.description, mode: 0o644).write(Array(description.json.utf8), at: 0)
    try makeCheckpoint()
    _ = try claim(successorOf: 0, .released)
  }

  deinit {
    teardown.verify(layout.root)
    let base = PosixFileSystem()
    let all = directories.reversed() + [layout.root]
    for directory in all {
      for name in (try? base.list(directory)) ?? [] { try? base.unlink("\(directory)/\(name)") }
    }
    removeDirectories(all)
  }

  private var directories: [String] { layout.directories.map(\.path) }

  /// Of a database without a page.
  private func makeCheckpoint() throws {
    let base = PosixFileSystem()
    let name = StoreLayout.checkpointName(.zero)
    _ = try base.create("\(layout.checkpoints)/\(name)", mode: 0o444)
    let header = CheckpointSidecar.Header(
      store: id, extent: .empty, pageSize: 4096, pageCount: 0, checksum: DatabaseChecksum(),
      rejected: 0)
    let sidecar = layout.sidecar(of: .zero)
    try CheckpointSidecar.write(header, checksums: [], to: base.create(sidecar, mode: 0o444))
    try base.replaceSymbolicLink(layout.current, target: "checkpoints/\(name)")
  }

  func environment(
    clock: any Clock = SystemClock(), omitting omitted: Set<SafetyCheck> = []
  ) -> Environment {
    var environment = Environment.posix()
    environment.fileSystem = files
    environment.clock = clock
    environment.omittedChecks = omitted
    return environment
  }

  func journal(
    clock: any Clock = SystemClock(), omitting omitted: Set<SafetyCheck> = []
  ) -> JournalWriter {
    JournalWriter(to: handle(environment(clock: clock, omitting: omitted)))
  }

  func handle(_ environment: Environment) -> StoreHandle {
    StoreHandle(layout: layout, id: id, environment: environment)
  }

  func writer(_ change: (inout Writer.Options) -> Void = { _ in }) throws -> Writer {
    var options = Writer.Options()
    change(&options)
    return try Writer(store: layout.root, options: options, environment: environment())
  }

  /// The holder of the log's second segment, who stands in for an applier.
  func applier() throws -> TestApplier { TestApplier(holder: try claim(successorOf: 1)) }

  func claim(successorOf number: UInt64, _ state: Beacon.State = .active) throws -> LogHolder {
    let claim = LogClaim(
      of: handle(.posix()), holder: "test",
      engine: .init(sourceID: "", compileOptions: "", architecture: ""))
    let won = try claim.claim(successorOf: number) { holder, _ in
      holder.beacon(state, ApplierStatus(), time_ms: 0)
    }
    return try #require(won).holder
  }

  /// Sets the mark of a writer's segment, as an applier does.
  func close(_ segment: JournalSegmentID) throws {
    let path = "\(layout.journal)/\(StoreLayout.journalName(segment))"
    try Mark.write(to: try PosixFileSystem().open(path, .write), by: "test", time_ms: 0)
  }

  /// The journal as it lies in its files.
  func segments() throws -> [SegmentImage] {
    try PosixFileSystem().list(layout.journal).compactMap(StoreLayout.journalSegment).sorted()
      .map { try SegmentImage($0, layout) }
  }

  /// As an applier does with what is published.
  func removeSegments() throws {
    for id in try PosixFileSystem().list(layout.journal).compactMap(StoreLayout.journalSegment) {
      try PosixFileSystem().unlink("\(layout.journal)/\(StoreLayout.journalName(id))")
    }
  }
}

/// Commits batches with the outcomes it is told to.
final class TestApplier: Sendable {
  let holder: LogHolder
  init(holder: LogHolder) { self.holder = holder }

  func commit(_ outcomes: [(BatchID, Outcome)]) throws {
    let meta = CommitMeta(
      commit: holder.extent.commits + 1, time_ms: 0, entropy: Identifier128(high: 0, low: 0),
      pageSize: 4096, pageCount: 0, checksum: DatabaseChecksum(), rejected: 0)
    // Of an empty batch the list has its length, 0.
    let empty = [UInt8](repeating: 0, count: BatchList.leastBytes * outcomes.count)
    _ = try holder.commit(
      CommitContent(
        first: holder.extent.txid.next, count: UInt32(outcomes.count), meta: meta, entries: [],
        outcomes: outcomes.map {
          BatchOutcome(batch: $0.0, key: nil, attempts: 0, outcome: $0.1)
        }, consumed: [], pages: .memory([]), batches: SectionContent(.batches, raw: empty)))
    try holder.publish(holder.beacon(.active, ApplierStatus(), time_ms: 0))
  }

  /// Commits the batches as applied, each with its place in the list as its changes.
  func apply(_ batches: [BatchID]) throws {
    try commit(batches.enumerated().map { ($1, .changes($0)) })
  }
}

extension Outcome {
  static func changes(_ count: Int) -> Outcome {
    .applied(.init(changes: Int64(count), lastRowID: 0, rows: nil))
  }
}

/// What one segment's file holds.
struct SegmentImage {
  struct Frame {
    var first: UInt64
    var batches: [[UInt8]]
    var offset: Int64
    var end: Int64
    var endsSegment: Bool
  }

  let id: JournalSegmentID
  /// nil where no whole header is there.
  let header: JournalSegmentHeader?
  private(set) var frames: [Frame] = []
  let size: Int64

  init(_ id: JournalSegmentID, _ layout: StoreLayout) throws {
    self.id = id
    let file = try PosixFileSystem().open(
      "\(layout.journal)/\(StoreLayout.journalName(id))", .shared)
    size = try file.status().size
    guard let segment = try JournalSegmentHeader.read(file) else {
      header = nil
      return
    }
    header = segment.header
    var chain = segment.frames
    while let frame = try chain.ahead(), try chain.scanner.isWhole(frame),
      let bytes = try chain.scanner.section(
        .batches, of: frame, limit: Int64(Limits.journalFrameBytes))
    {
      let batches = try BatchList.ranges(bytes, count: Int(frame.count)).map { Array(bytes[$0]) }
      frames.append(
        Frame(
          first: frame.first, batches: batches, offset: frame.offset, end: frame.end,
          endsSegment: frame.endsSegment))
      chain.pass(frame)
    }
  }

  /// Every batch, by its sequence number.
  var batches: [UInt64: [UInt8]] {
    var all: [UInt64: [UInt8]] = [:]
    for frame in frames {
      for (i, batch) in frame.batches.enumerated() { all[frame.first + UInt64(i)] = batch }
    }
    return all
  }
}

/// A clock that stands until it is moved; sleeping moves it.
final class ManualClock: Clock {
  private let now_ms = Monitor<Int64>(1_800_000_000_000)

  func wallTime_ms() -> Int64 { now_ms.withLock { $0 } }
  func bootTime_ns() -> UInt64 { UInt64(now_ms.withLock { $0 }) * 1_000_000 }
  func sleep(_ duration: Duration) { advance(duration) }
  func advance(_ duration: Duration) { now_ms.withLock { $0 += duration.wholeMilliseconds } }
}

/// 200 bytes or so that are no batch, told apart by `number`: the journal does not look inside.
func content(_ number: Int) -> [UInt8] {
  Array("batch \(number) ".utf8) + [UInt8](repeating: 7, count: 190)
}

func insert(_ number: Int) -> Batch {
  Batch([.init("INSERT INTO t VALUES (?)", [.integer(Int64(number))])])
}
