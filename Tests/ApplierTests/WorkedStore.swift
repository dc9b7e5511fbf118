import SluiceApplier
import SluiceFakes
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@testable import SluiceJournal

/// Seven batches in five terms, with checkpoints of batches 4 and 6.
@dynamicMemberLookup
struct WorkedStore {
  let store: TestStore
  /// Where the first line that a repair begins begins.
  static let line = TxID(1_000_000_000_000)
  /// All that a reader sees as of batch 6, the last checkpoint.
  let rowsOfBatch6: [[SQLValue]]

  init(at place: SourceLocation = #_sourceLocation) throws {
    store = try TestStore(at: place)
    try store.apply("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    try store.apply([
      Batch([Batch.Statement("INSERT INTO t(v) VALUES(hex(randomblob(3000)))")]),
      Batch([Batch.Statement("INSERT INTO nowhere VALUES(1)")]),
      Batch([Batch.Statement("INSERT INTO t(v) VALUES(zeroblob(9000))")], key: "k"),
    ])
    try Self.checkpoint(store)
    try store.apply("INSERT INTO t(v) VALUES(random())")
    try store.apply("DELETE FROM t WHERE id = 2")
    try Self.checkpoint(store)
    rowsOfBatch6 = try store.query(Self.everything)
    try store.apply("UPDATE t SET v = 'x' WHERE id = 3")
    rowsOfBatch7 = try store.query(Self.everything)
    // Of batch 7's writer a file is left, for a minute: with it that batch would outlive its loss.
    for name in try store.names(store.layout.journal) where name.hasSuffix(".seg") {
      try store.environment.fileSystem.unlink("\(store.layout.journal)/\(name)")
    }
  }

  subscript<T>(dynamicMember member: ReferenceWritableKeyPath<TestStore, T>) -> T {
    store[keyPath: member]
  }
  subscript<T>(dynamicMember member: KeyPath<TestStore, T>) -> T { store[keyPath: member] }

  private init(_ store: TestStore, like other: WorkedStore) {
    self.store = store
    rowsOfBatch6 = other.rowsOfBatch6
    rowsOfBatch7 = other.rowsOfBatch7
  }

  /// A store of its own with the same files.
  func copied() throws -> WorkedStore { WorkedStore(try store.copied(), like: self) }

  private static let everything = "SELECT id, v FROM t ORDER BY id"

  static func checkpoint(_ store: TestStore) throws {
    let pages = try PageStore(path: store.path, environment: store.environment)
    try Checkpoint(of: pages.handle).make(of: pages.published())
  }

  func rows() throws -> [[SQLValue]] { try store.query(Self.everything) }
  func names(_ directory: String) throws -> [String] { try store.names(directory).sorted() }
  func drain() throws { try store.drain() }

  @discardableResult
  func apply(_ batches: [Batch]) throws -> [Outcome] { try store.apply(batches) }

  @discardableResult
  func apply(_ sql: String) throws -> Outcome { try store.apply(sql) }

  func query(_ sql: String, asOf txid: TxID) throws -> [[SQLValue]] {
    try Database(
      PageStore(path: store.path, environment: store.environment),
      executor: store.environment.executor
    ).read(.asOf(.txid(txid))) { try $0.query(sql) }
  }

  // MARK: damage

  func flip(_ path: String, _ offset: Int64) throws { try store.flip(path, offset) }

  func checkpointFiles() throws -> [String] {
    try names(store.layout.checkpoints).map { "\(store.layout.checkpoints)/\($0)" }
  }

  func segments() throws -> [String] {
    try names(store.layout.log).filter { StoreLayout.logNumber($0) != nil }
      .map { "\(store.layout.log)/\($0)" }
  }

  /// Those that retention has taken out of `log/`, and not deleted yet.
  func oldSegments() throws -> [String] {
    guard try names(store.layout.log).contains("old") else { return [] }
    return try names(store.layout.oldLog).map { "\(store.layout.oldLog)/\($0)" }
  }

  /// Takes all but the newest one there.
  func retireSegments() throws {
    let numbers = try names(store.layout.log).compactMap(StoreLayout.logNumber)
    let newest = try #require(numbers.max())
    _ = try LogRetirement(layout: store.layout, environment: store.environment, name: "test")
      .retire(below: newest, beneath: newest)
  }

  /// The commit that holds a batch, and its file.
  private func commit(of txid: TxID) throws -> (path: String, frame: FrameHeader) {
    let id = try StoreDescription.read(store.layout, store.environment.fileSystem).id
    for path in try segments() {
      let segment = try LogSegment(path: path, store: id, environment: store.environment)
      var chain = segment.frames()
      while let frame = try chain.ahead() {
        if frame.kind == .commit, frame.first <= txid.rawValue,
          txid.rawValue < frame.first + UInt64(frame.count)
        {
          return (path, frame)
        }
        chain.pass(frame)
      }
    }
    throw StoreError(.invalid, "no commit holds batch \(txid)")
  }

  func placeOfFrame(of txid: TxID) throws -> FrameHeader { try commit(of: txid).frame }

  func flipFrame(of txid: TxID) throws {
    let (path, frame) = try commit(of: txid)
    try flip(path, frame.offset + 20)
  }

  func flip(section id: SectionID, of txid: TxID) throws {
    let (path, frame) = try commit(of: txid)
    let section = try #require(frame.section(id))
    try flip(path, frame.offset + section.offset + section.storedBytes / 2)
  }

  /// A claimant's that gave up.
  func linkEmptySegment(_ number: UInt64) throws {
    let fileSystem = store.environment.fileSystem
    let header = LogSegmentHeader(
      store: try StoreDescription.read(store.layout, fileSystem).id, number: number, nonce: 9,
      term: 9, created_ms: 0, holder: "late")
    let file = try fileSystem.create(store.layout.segment(number), mode: 0o644)
    try file.resize(to: 1 << 20)
    try file.write(header.encoded(), at: Block.header)
  }

  /// As an earlier version left it: no checkpoint has a copy of store.json.
  func forgetCopies() throws {
    let fileSystem = store.environment.fileSystem
    let id = try StoreDescription.read(store.layout, fileSystem).id
    for name in try names(store.layout.checkpoints) where name.hasSuffix(".pages") {
      let path = "\(store.layout.checkpoints)/\(name)"
      var header = try CheckpointSidecar(path: path, store: id, fileSystem: fileSystem).header
      header.description = ""
      try fileSystem.setPermissions(path, mode: 0o644)
      try fileSystem.open(path, .write).write(header.encoded(), at: 0)
    }
  }

  /// As of batch 7, the last one.
  let rowsOfBatch7: [[SQLValue]]

  // MARK: repair

  /// A beacon that may just be written is waited for, and an applier that may be silent.
  var unhurried: Environment {
    var environment = store.environment
    environment.clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
    return environment
  }

  func newRepair() -> Repair {
    Repair(store: store.path, name: "test", environment: unhurried)
  }

  func damages() throws -> [Verification.Damage] {
    var damages: [Verification.Damage] = []
    _ = try Verification(store: store.path, unhurried) { damages.append($0) }.run()
    return damages
  }

  @discardableResult
  func repair(transactions: TransactionRight? = nil) throws -> Repair.Plan {
    var repair = newRepair()
    repair.describe(lease: nil, foreignKeys: nil, transactions: transactions)
    let plan = try repair.plan()
    try repair.perform(plan)
    return plan
  }

  func told(_ plan: Repair.Plan) throws -> [String] {
    var told: [String] = []
    try plan.salvage?.tell(of: plan.lost) { remains in
      switch remains {
      case .batch(let entry):
        let sql = entry.batch?.statements.first?.sql ?? "?"
        told.append("\(entry.txid) \(entry.outcome.key ?? "nil") \(sql)")
      case .nothing(let range): told.append("nothing \(range.lowerBound)...\(range.upperBound)")
      }
    }
    return told
  }

  func keptDirectory() throws -> String {
    let name = try #require(store.names(store.layout.repaired).first)
    return "\(store.layout.repaired)/\(name)"
  }

  /// How many files repairs have moved away.
  func kept() throws -> Int {
    guard try store.names(store.path).contains("repaired") else { return 0 }
    return try store.names(store.layout.repaired).reduce(0) {
      $0 + (try store.names("\(store.layout.repaired)/\($1)").count)
    }
  }

  /// Nothing is damaged, and it is read as it should be.
  func isWhole(with rows: [[SQLValue]], at txid: TxID) throws {
    #expect(try damages() == [])
    #expect(try self.rows() == rows)
    #expect(try newRepair().plan().steps == [])
    store.isDamagedOnPurpose = false
    #expect(try PageStore(path: store.path, environment: store.environment).current.txid == txid)
  }

  /// An applier executes the next batch, and replays agree.
  func goesOn(behind txid: TxID) throws {
    #expect(try store.apply("INSERT INTO t(v) VALUES('next')").isApplied)
    let pages = try PageStore(path: store.path, environment: store.environment)
    #expect(pages.current.txid == txid.next)
    try Self.checkpoint(store)
    _ = try Replay.compare(store: store.path, store.environment)
  }
}
