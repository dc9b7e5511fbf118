import BenchmarkSupport
import Foundation
import Logging
import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier
@testable import sluice_differential

/// Random batches of all that SQL has (tables of every kind, triggers, foreign keys, full text, R-trees,
/// JSON, generated columns; what fails, what is denied, repeats) over several terms, with checkpoints between.
@Suite("A replay, a restored file and a reader say the same of each state")
struct RandomHistoryTests {
  /// `SLUICE_SEEDS`: that many. A seed is some 280 batches in each test.
  private static let seeds =
    ProcessInfo.processInfo.environment["SLUICE_SEEDS"].flatMap(UInt64.init) ?? 12

  @Test("Of any history", arguments: 1...seeds)
  func anyHistory(_ seed: UInt64) throws {
    let work = try WorkDirectory(in: WorkDirectory.temporary, prefix: "sluice-history")
    let history = try RandomHistory(seed, work.path)
    for _ in 0..<4 { try history.work(batches: 60) }
    #expect(history.midwayEnds > 0)
    #expect(
      history.applied > 20 && history.rejected > 20, "\(history.applied), \(history.rejected)")

    // The whole of it, and parts between checkpoints and other states.
    try history.replay(from: .zero, to: nil)
    for (txid, content) in history.states.enumerated().filter({ $0.offset % 4 == 1 }).map(\.element)
    {
      try history.replay(from: .zero, to: txid, expecting: content)
      guard let base = history.checkpoints.last(where: { $0 > .zero && $0 < txid }) else {
        continue
      }
      try history.replay(from: base, to: txid, expecting: content)
    }
    var damages: [Verification.Damage] = []
    _ = try Verification(store: history.store, history.environment) { damages.append($0) }.run()
    #expect(damages == [])
  }
}

extension RandomHistoryTests {
  /// What is older than the newest checkpoints goes while it is worked on, and VACUUM comes between.
  @Test("Of what is kept of any history, with compaction and takeovers", arguments: 1...seeds)
  func keptHistory(_ seed: UInt64) throws {
    let work = try WorkDirectory(in: WorkDirectory.temporary, prefix: "sluice-history")
    let history = try RandomHistory(seed &+ 1_000_000, work.path, retires: true)
    for _ in 0..<4 { try history.work(batches: 60) }
    #expect(history.midwayEnds > 0 && history.compactions > 0 && history.removed > 0)
    try history.retire()
    let first = try #require(history.checkpoints.first)
    #expect(first > .zero)
    try history.replay(from: first, to: nil)
    let states = history.states.filter { $0.0 >= first }
    #expect(!states.isEmpty)
    for (txid, content) in states.suffix(6) {
      try history.read(txid, expecting: content)
      if txid > first { try history.replay(from: first, to: txid, expecting: content) }
    }
    try history.followRows(from: first)
    var damages: [Verification.Damage] = []
    _ = try Verification(store: history.store, history.environment) { damages.append($0) }.run()
    #expect(damages == [])
  }
}

extension RandomHistoryTests {
  /// Of what is not reached the others say nothing.
  @Test("The histories have rows in tables of each kind, and triggers, keys and indexes over them")
  func everyKind() throws {
    let work = try WorkDirectory(in: WorkDirectory.temporary, prefix: "sluice-kinds")
    var found: Set<String> = []
    for seed in 1...Self.seeds {
      var generator = BatchGenerator(seed: seed)
      let plain = try PlainDatabase(
        path: "\(work.path)/\(seed).sqlite", pageSize: 4096, foreignKeys: true)
      for number in 0..<240 {
        if number % 30 == 0 { try generator.schema.read(plain.connection) }
        let next = generator.next()
        guard !next.isForbidden, !next.isHostile else { continue }
        do { _ = try plain.execute(next.batch, TxID(UInt64(number + 1))) } catch {
          guard error is RandomRowIDs.Taken else { throw error }
        }
      }
      found.formUnion(try kinds(plain.connection))
    }
    #expect(Set(Self.kinds.keys).subtracting(found) == [], "\(found)")
  }

  /// By what the text of their definition has.
  private static let kinds = [
    "full text": "USING fts5", "R-tree": "USING rtree", "no rowid": "WITHOUT ROWID",
    "counted ids": "AUTOINCREMENT", "computed": " AS (", "foreign key": "REFERENCES",
    "trigger": "CREATE TRIGGER", "JSON": "json",
  ]

  private func kinds(_ connection: Connection) throws -> Set<String> {
    var found: Set<String> = []
    let rows = try connection.query(
      "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('table', 'trigger', 'index') AND sql <> ''"
    )
    for row in rows {
      guard case .text(let type) = row[0], case .text(let name) = row[1],
        case .text(let sql) = row[2]
      else { continue }
      if type == "table" {
        let isEmpty =
          (try? connection.scalar("SELECT count(*) FROM \(quoted(name))")) == .integer(0)
        guard !isEmpty else { continue }
      }
      for (kind, text) in Self.kinds where sql.range(of: text, options: .caseInsensitive) != nil {
        found.insert(kind)
      }
    }
    return found
  }
}

/// A store that is worked on as a seed has it, and what readers saw of it.
private final class RandomHistory {
  let store: String
  let environment: Environment
  private let directory: String
  private var generator: BatchGenerator
  private var applierEnvironment: Environment
  private var options: ApplierOptions
  /// What a reader saw as of some batches.
  private(set) var states: [(TxID, Content)] = []
  private(set) var checkpoints: [TxID] = [.zero]
  private(set) var applied = 0
  private(set) var rejected = 0
  private(set) var midwayEnds = 0
  private(set) var compactions = 0
  /// Checkpoints that were removed.
  private(set) var removed = 0
  /// Whether it is compacted, and what is old goes.
  private let retires: Bool

  init(_ seed: UInt64, _ directory: String, retires: Bool = false) throws {
    self.directory = directory
    self.retires = retires
    store = "\(directory)/store"
    generator = BatchGenerator(seed: seed)
    let random = Monitor(SeededRandom(seed: seed ^ 0x5EED))
    environment = Environment(
      fileSystem: PosixFileSystem(), clock: SystemClock(), executor: ThreadExecutor.shared,
      random: { random.withLock { $0.next() } })
    // A clock that stands still: which batches share a commit must not depend on how fast this is.
    applierEnvironment = environment
    applierEnvironment.clock = ManualClock(wall_ms: 1_800_000_000_000)
    applierEnvironment.executor = InlineExecutor()
    options = ApplierOptions(holder: "random")
    options.logger.logLevel = .critical
    options.clockTolerance = nil
    options.drains = true
    // Other caches than a replay has, so that pages differ where they can.
    options.cacheBytes = generator.choose.one([64 << 10, 1 << 20, Limits.cacheBytes])
    options.segmentBytes = generator.choose.one([1 << 20, 8 << 20])
    var creation = StoreCreation()
    creation.pageSize = generator.choose.one([512, 4096])
    creation.foreignKeys = generator.choose.chance(0.8)
    try creation.make(at: store, environment: environment)
  }

  /// What the generator leaves out, because plain SQLite would come to something else: values that are never the
  /// same twice unless they come from the record, and a row of many pages.
  private static let unrepeatable = Batch([
    .init("CREATE TABLE IF NOT EXISTS unrepeatable(a, b, c, d, e)"),
    .init(
      "INSERT INTO unrepeatable VALUES (random(), randomblob(20000), julianday('now'), CURRENT_TIMESTAMP, strftime('%s', 'now'))"
    ),
  ])

  /// A row that takes more than a log segment, and goes with the next.
  private static let huge = Batch([
    .init("CREATE TABLE IF NOT EXISTS huge(id INTEGER PRIMARY KEY, a, b)"),
    .init("REPLACE INTO huge VALUES (1, randomblob(1500000), hex(randomblob(10)))"),
  ])

  /// One term that executes so many batches, of several writers, in commits of their own size.
  func work(batches count: Int) throws {
    let writers = try (0..<2).map { _ in try Writer(store: store, environment: environment) }
    var receipts: [(Writer, Receipt)] = []
    receipts.append((writers[0], try writers[0].submitBlocking(Self.huge)))
    var left = count
    while left > 0 {
      let size = min(left, generator.choose.from(1...12))
      let writer = generator.choose.one(writers)
      let batches = (0..<size).map { _ in generator.next().batch }
      for result in writer.submitBlocking(batches) { receipts.append((writer, try result.get())) }
      left -= size
      receipts.append((writer, try writer.submitBlocking(Self.unrepeatable)))
      if retires, generator.choose.chance(0.15) {
        receipts.append((writer, try writer.submitBlocking(Batch([Batch.Statement("VACUUM")]))))
        compactions += 1
      }
      // Terms end, some of them in the middle of a group: one at least.
      if generator.choose.chance(0.15) || midwayEnds == 0 { endMidway() }
      if generator.choose.chance(0.3) { try drain() }
    }
    try drain()
    for (writer, receipt) in receipts {
      switch try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).outcome {
      case .applied: applied += 1
      case .rejected: rejected += 1
      case .duplicate: break
      }
    }
    for writer in writers { writer.closeBlocking() }
    // Not before their outcomes are known: those go with the log.
    if retires, checkpoints.count > 2 { try retire() }
  }

  /// A term that fails before some batch, and never lets go of what it holds.
  private func endMidway() {
    let left = Monitor(generator.choose.below(20))
    var options = options
    options.beforeBatch = { _ throws(StoreError) in
      let isLeft = left.withLock { left in
        left -= 1
        return left >= 0
      }
      guard isLeft else { throw StoreError(.io, "the term ends here") }
    }
    do {
      try Applier(path: store, options: options, environment: applierEnvironment)
        .run(shouldStop: { false })
    } catch { midwayEnds += 1 }
  }

  private func drain() throws {
    try Applier(path: store, options: options, environment: applierEnvironment)
      .run(shouldStop: { false })
    let pages = try PageStore(path: store, environment: environment)
    let snapshot = try pages.published()
    guard snapshot.txid > states.last?.0 ?? .zero else { return }
    if generator.choose.chance(0.3) {
      try Checkpoint(of: pages.handle).make(of: snapshot)
      checkpoints.append(snapshot.txid)
    }
    let seen = try Database(pages, executor: environment.executor).read { reader in
      try Content { try reader.query($0) }
    }
    states.append((snapshot.txid, seen))
    // What is restored says the same, and tells the generator what there is.
    let path = "\(directory)/restored-\(snapshot.txid)"
    try Restoration.write(snapshot.snapshot, to: path, environment)
    let restored = try Connection(path: path, flags: [.readOnly])
    try expect(try Content { try restored.query($0) }, seen, "restored as of \(snapshot.txid)")
    try generator.schema.read(restored)
  }

  /// Removes what is older than the newest two checkpoints, as an applier would.
  func retire() throws {
    let handle = try StoreHandle(at: StoreLayout(store), environment)
    let present = try Log(of: handle).present()
    var options = options
    options.retention.keep = .milliseconds(1)
    options.retention.checkpoints = 2
    options.retention.readers = .zero
    options.retention.listing = .zero
    let checkpoint = Checkpoint(of: handle)
    _ = try Retention(checkpoint, options, environment).run(
      Retention.Occasion(
        now_ms: environment.clock.wallTime_ms() + 30_000, published: present.published,
        segment: present.segment.number, isSettled: true))
    let kept = try environment.fileSystem.list(handle.layout.checkpoints)
      .compactMap(StoreLayout.checkpointTxID).sorted()
    removed += checkpoints.count - kept.count
    checkpoints = kept
  }

  func read(_ txid: TxID, expecting content: Content) throws {
    let pages = try PageStore(path: store, environment: environment)
    let seen = try Database(pages, executor: environment.executor).read(.asOf(.txid(txid))) {
      reader in try Content { try reader.query($0) }
    }
    try expect(seen, content, "read as of \(txid)")
    let path = "\(directory)/past-\(txid)"
    try Restoration.write(try pages.snapshot(.asOf(.txid(txid))), to: path, environment)
    let restored = try Connection(path: path, flags: [.readOnly])
    try expect(try Content { try restored.query($0) }, content, "restored as of \(txid) later")
  }

  /// Each batch has its recorded outcome and, where rows are told, rows that the record has.
  func followRows(from first: TxID) throws {
    let feed = try RowFeed(path: store, from: first.next, environment: environment)
    var told = 0
    try feed.advance { entry in
      #expect(entry.changes != nil || entry.untold != nil)
      if entry.changes != nil { told += 1 }
    }
    #expect(told > 0 && feed.txid == states.last?.0)
  }

  func replay(from first: TxID, to last: TxID?, expecting content: Content? = nil) throws {
    let path = "\(directory)/replayed-\(first)-\(last ?? .zero)"
    let summary = try Replay.run(
      RecordedHistory(store: store, environment), into: path, from: first,
      to: last.map { .txid($0) })
    #expect(summary.first == first && summary.last == last ?? summary.last)
    let replayed = try Connection(path: path, flags: [.readOnly])
    try expect(
      try Content { try replayed.query($0) }, try #require(content ?? states.last?.1),
      "replayed from \(first) to \(summary.last)")
  }

  private func expect(_ content: Content, _ seen: Content, _ what: String) throws {
    guard content != seen else { return }
    Issue.record("\(what): \(content.differences(from: seen).joined(separator: "\n  "))")
  }
}
