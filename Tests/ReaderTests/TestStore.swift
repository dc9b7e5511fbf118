import Glibc
import SluiceJournal
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceTeardown
import Testing

/// A store made by hand, without an applier: its commits are what a plain SQLite database beside it
/// changed in its file. Verified and removed with this object.
final class TestStore: VerifiedStore {
  let root: String
  let teardown: StoreTeardown
  let layout: StoreLayout
  let environment: Environment
  let description: StoreDescription
  let plain: Connection
  private(set) var holder: LogHolder
  private(set) var pages: [[UInt8]] = []
  private(set) var checksum = DatabaseChecksum()
  private(set) var txid = TxID.zero
  private(set) var commits: UInt64 = 0
  /// Of the last commit; two in a row have the same.
  var time_ms: Int64 { 1_700_000_000_000 + Int64(commits / 2) * 1000 }
  private var checkpointTxID = TxID.zero
  private let compressor = Compressor()
  private let directory: String

  init(
    pageSize: Int = 1024, _ setup: String = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)",
    at place: SourceLocation = #_sourceLocation
  ) throws {
    teardown = StoreTeardown(at: place)
    let environment = Environment.posix()
    // Memory where there is such a directory: these tests are not about the disk.
    let base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"
    var template = Array("\(base)/sluice-reader-XXXXXX".utf8CString)
    directory = String(cString: mkdtemp(&template))
    root = "\(directory)/store"
    layout = StoreLayout(root)
    self.environment = environment
    try environment.fileSystem.makeDirectory(root, mode: 0o755)
    for one in layout.directories where one != layout.oldLogDirectory {
      try one.makeIfMissing(environment.fileSystem)
    }
    let id = StoreID(time_ms: environment.clock.wallTime_ms(), random: environment.random)
    description = StoreDescription(id: id, pageSize: pageSize, lease: .file, foreignKeys: true)
    let json = try environment.fileSystem.create(layout.description, mode: 0o644)
    try json.write(Array(description.json.utf8), at: 0)

    plain = try Connection(path: "\(directory)/plain.sqlite", flags: [.readWrite, .create])
    try plain.execute("PRAGMA page_size = \(pageSize); PRAGMA auto_vacuum = NONE")
    try plain.execute(setup)
    let claim = Self.claim(StoreHandle(layout: layout, id: id, environment: environment))
    let won = try claim.claim(successorOf: 0) { holder, _ in
      holder.beacon(.active, ApplierStatus(), time_ms: 0)
    }
    holder = try #require(won).holder
    pages = try imageOfPlain()
    for (i, page) in pages.enumerated() { checksum.toggle(page: UInt32(i + 1), crc: crc32c(page)) }
    try checkpoint(publishing: false)
  }

  deinit {
    teardown.verify(root)
    _ = system("rm -rf \(directory)")
  }

  private static func claim(_ store: StoreHandle) -> LogClaim {
    LogClaim(
      of: store, holder: "test",
      engine: StartRecord.Engine(sourceID: "", compileOptions: "", architecture: ""))
  }

  func imageOfPlain() throws -> [[UInt8]] {
    let file = try environment.fileSystem.open("\(directory)/plain.sqlite", .fixed)
    let bytes = try file.read(Int(try file.status().size), at: 0)
    guard bytes.count > 17 else { return [] }
    let said = Int(bytes[16]) << 8 | Int(bytes[17])
    let pageSize = said == 1 ? 65536 : said
    return stride(from: 0, to: bytes.count, by: pageSize).map {
      Array(bytes[$0..<$0 + pageSize])
    }
  }

  private var pageSize: Int { pages.first?.count ?? description.pageSize }

  // MARK: Commits

  /// Executes `sql` and commits what it changed.
  @discardableResult
  func commit(_ sql: String, publishing: Bool = true) throws -> TxID {
    try plain.execute(sql)
    return try commit(image: imageOfPlain(), publishing: publishing)
  }

  /// Commits the difference to `image`. Pages in `unwritten` stay out of it, which no applier would do.
  @discardableResult
  func commit(image: [[UInt8]], unwritten: Set<Int> = [], publishing: Bool = true) throws -> TxID {
    if !unwritten.isEmpty { isDamagedOnPurpose = true }
    let content = content(image, unwritten)
    _ = try holder.commit(content)
    txid = TxID(content.first.rawValue)
    commits += 1
    pages = image
    checksum = content.meta.checksum
    if publishing { try publish() }
    return txid
  }

  func publish(_ state: Beacon.State = .active) throws {
    var status = ApplierStatus()
    status.checkpoint = checkpointTxID
    try holder.publish(
      holder.beacon(state, status, time_ms: environment.clock.wallTime_ms()))
  }

  private func content(_ image: [[UInt8]], _ unwritten: Set<Int>) -> CommitContent {
    var entries: [PageEntry] = []
    var stored: [UInt8] = []
    let newSize = image.first?.count ?? pageSize
    let pages = newSize == pageSize ? pages : []
    var checksum = newSize == pageSize ? checksum : DatabaseChecksum()
    for number in 0..<max(image.count, pages.count) {
      let old = number < pages.count ? pages[number] : nil
      let new = number < image.count ? image[number] : nil
      guard old != new else { continue }
      if let old { checksum.toggle(page: UInt32(number + 1), crc: crc32c(old)) }
      guard let new else { continue }
      checksum.toggle(page: UInt32(number + 1), crc: crc32c(new))
      guard !unwritten.contains(number + 1) else { continue }
      let offset = stored.count
      let smaller = new.withUnsafeBytes { compressor.append($0, level: 1, to: &stored) }
      if !smaller { stored += new }
      entries.append(
        PageEntry(
          page: UInt32(number + 1), storedBytes: UInt32(stored.count - offset), crc: crc32c(new),
          offset: Int64(offset)))
    }
    let meta = CommitMeta(
      commit: commits + 1, time_ms: 1_700_000_000_000 + Int64((commits + 1) / 2) * 1000,
      entropy: Identifier128(high: 1, low: 2), pageSize: UInt32(newSize),
      pageCount: UInt32(image.count), checksum: checksum, rejected: 0)
    let outcome = BatchOutcome(
      batch: BatchID(writer: description.id, sequence: SequenceNumber(commits + 1)), key: nil,
      attempts: 0, outcome: .applied(.init(changes: 1, lastRowID: 0, rows: nil)))
    return CommitContent(
      first: txid.next, count: 1, meta: meta, entries: entries, outcomes: [outcome], consumed: [],
      pages: .memory(stored), batches: SectionContent(.batches, raw: [0, 0, 0, 0]))
  }

  // MARK: Segments and checkpoints

  /// Goes on in a new segment: in order, with a merged index, or as after a crash.
  func nextSegment(finishing: Bool) throws {
    if finishing {
      try holder.finish()
      try publish()
    }
    let claim = Self.claim(
      StoreHandle(layout: layout, id: description.id, environment: environment))
    let won = try claim.claim(successorOf: holder.header.number, rotating: finishing) {
      [checkpointTxID] holder, _ in
      var status = ApplierStatus()
      status.checkpoint = checkpointTxID
      return holder.beacon(.active, status, time_ms: 0)
    }
    holder = try #require(won).holder
  }

  var checkpointPath: String {
    layout.database(of: checkpointTxID)
  }
  var sidecarPath: String { layout.sidecar(of: checkpointTxID) }
  var segmentPath: String { layout.segment(holder.header.number) }

  /// Makes a checkpoint of the present.
  func checkpoint(publishing: Bool = true) throws {
    checkpointTxID = txid
    let file = try environment.fileSystem.create(checkpointPath, mode: 0o644)
    try file.write(pages.flatMap { $0 }, at: 0)
    let sidecar = try environment.fileSystem.create(sidecarPath, mode: 0o644)
    try CheckpointSidecar.write(
      CheckpointSidecar.Header(
        store: description.id,
        extent: LogExtent(txid: txid, commits: commits, time_ms: commits == 0 ? 0 : time_ms),
        pageSize: UInt32(pageSize), pageCount: UInt32(pages.count), checksum: checksum,
        rejected: 0), checksums: pages.map { crc32c($0) }, to: sidecar)
    try environment.fileSystem.replaceSymbolicLink(
      layout.current, target: "checkpoints/\(StoreLayout.checkpointName(txid))")
    if publishing { try publish() }
  }

  // MARK: Damage

  /// Flips a bit of a file.
  func damage(_ path: String, at offset: Int64) throws {
    isDamagedOnPurpose = true
    let file = try environment.fileSystem.open(path, .write)
    var byte = try file.read(1, at: offset)
    byte[0] ^= 0x10
    try file.write(byte, at: offset)
  }

  func remove(_ path: String) throws {
    isDamagedOnPurpose = true
    try environment.fileSystem.unlink(path)
  }

  // MARK: Reading

  func open(_ fileSystem: (any FileSystem)? = nil, omitting: Set<SafetyCheck> = []) throws
    -> PageStore
  {
    var environment = environment
    if let fileSystem { environment.fileSystem = fileSystem }
    environment.omittedChecks = omitting
    return try PageStore(path: root, environment: environment)
  }

  /// What is wrong with a snapshot of the present; nil where it is right.
  func difference(_ snapshot: Snapshot) throws -> String? {
    if snapshot.txid != txid { return "batch \(snapshot.txid), not \(txid)" }
    if snapshot.checksum != checksum { return "another checksum" }
    if snapshot.pageSize != pageSize { return "pages of \(snapshot.pageSize) bytes" }
    if Int(snapshot.pageCount) != pages.count { return "\(snapshot.pageCount) pages" }
    for (i, page) in pages.enumerated() {
      let number = UInt32(i + 1)
      if try snapshot.page(number) != page { return "page \(number)" }
      if try snapshot.crc(ofPage: number) != crc32c(page) { return "checksum of page \(number)" }
    }
    return nil
  }
}

extension Snapshot {
  func page(_ number: UInt32) throws -> [UInt8] {
    var page = [UInt8](repeating: 0xAA, count: pageSize)
    try page.withUnsafeMutableBytes { try read(page: number, into: $0) }
    return page
  }
}

/// `INSERT` of `count` rows whose text does not compress away.
func insert(_ rows: ClosedRange<Int>, _ text: String = "hex(randomblob(40))") -> String {
  """
  WITH RECURSIVE c(x) AS (SELECT \(rows.lowerBound) UNION ALL SELECT x + 1 FROM c WHERE x < \(rows.upperBound))
  INSERT OR REPLACE INTO t SELECT x, \(text) FROM c
  """
}
