import SluiceFakes
import SluiceShared
import Synchronization

@testable import SluiceJournal
@testable import SluiceWriter

/// Files that look the same for ever: made by the real code with fixed times, identifiers and
/// nonces.
enum GoldenFiles {
  static let names = [
    "journal", "journal-one-shot", "journal-pages", "journal-parts", "log-1", "log-2", "log-3",
    "checkpoint", "store",
  ]

  static let many = Batch([
    Batch.Statement(
      "INSERT INTO t VALUES (?, ?)",
      rows: (0..<2000).map { [.integer(Int64($0)), "the same text in each row"] })
  ])

  static func make() throws -> [String: [UInt8]] {
    var files = try journals()
    files.merge(try logs()) { first, _ in first }
    files["checkpoint"] = try checkpoint()
    files["store"] = Array(
      StoreDescription(id: Samples.store, pageSize: 512, lease: .file, foreignKeys: true).json.utf8)
    return files
  }

  /// As `MemoryDisk.content`, without the zeros that a file is preallocated with.
  private static func content(_ disk: MemoryDisk, _ path: String) -> [UInt8] {
    let bytes = disk.content(path) ?? []
    let used = (bytes.lastIndex { $0 != 0 } ?? -1) + 1
    return Array(bytes[..<Block.roundUp(used)])
  }

  // MARK: Journal segments

  private static func journals() throws -> [String: [UInt8]] {
    let fileSystem = MemoryFileSystem()
    let layout = StoreLayout("/s")
    fileSystem.makeDirectories([layout.journal])
    let number = Atomic<UInt64>(0x1000)
    let environment = Environment(
      fileSystem: fileSystem, clock: ManualClock(), executor: InlineExecutor(),
      random: { number.wrappingAdd(1, ordering: .relaxed).newValue })
    let handle = StoreHandle(layout: layout, id: Samples.store, environment: environment)
    var files: [String: [UInt8]] = [:]
    let writer = JournalWriter(to: handle)
    let first = try writer.flush([
      Samples.batch.encoded(), Batch([.init("DELETE FROM t")]).encoded(),
    ])
    try writer.flush([many.encoded()])
    files["journal"] = content(
      fileSystem.disk, path(layout, JournalSegmentID(writer: first.writer, number: 1)))
    let shot = JournalWriter(to: handle)
    let only = try shot.flush([Samples.batch.encoded()], ends: true)
    files["journal-one-shot"] = content(
      fileSystem.disk, path(layout, JournalSegmentID(writer: only.writer, number: 1)))
    let pages = JournalWriter(to: handle)
    let turn = try pages.flush(try GoldenPages.batches.map { try $0.encoded() })
    files["journal-pages"] = content(
      fileSystem.disk, path(layout, JournalSegmentID(writer: turn.writer, number: 1)))
    let parts = JournalWriter(to: handle)
    let batch = try GoldenPages.inParts(fileSystem)
    let inParts = parts.nextBatch()
    try parts.flush(
      listed: [Batch(.commit(batch)).listed()], parts: batch.parts, as: inParts, ends: true)
    files["journal-parts"] = content(
      fileSystem.disk, path(layout, JournalSegmentID(writer: inParts.writer, number: 1)))
    return files
  }

  private static func path(_ layout: StoreLayout, _ segment: JournalSegmentID) -> String {
    "\(layout.journal)/\(StoreLayout.journalName(segment))"
  }

  // MARK: Log segments

  /// A page of 512 bytes, all `7`, as zstd 1.5.4 compresses it at level 1: taken down once, since
  /// another version may do it otherwise.
  static let compressedPage: [UInt8] = [
    0x28, 0xB5, 0x2F, 0xFD, 0x60, 0x00, 0x01, 0x4D, 0x00, 0x00, 0x10, 0x07, 0x07, 0x01, 0x00, 0xFB,
    0x2A, 0xC0, 0x02,
  ]
  static let page = [UInt8](repeating: 7, count: 512)
  static let otherPage = Samples.noise(512)

  static let outcomes = Samples.outcomes.enumerated().map { i, outcome in
    BatchOutcome(
      batch: BatchID(
        writer: i < 3 ? Samples.writer : Samples.otherWriter,
        sequence: SequenceNumber(UInt64(i + 1))),
      key: i == 3 ? "key-4" : nil, attempts: i == 4 ? 1 : 0, outcome: outcome)
  }
  static let consumed = [
    ConsumedThrough(segment: JournalSegmentID(writer: Samples.writer, number: 1), offset: 12288),
    ConsumedThrough(
      segment: JournalSegmentID(writer: Samples.otherWriter, number: 2), offset: 16384),
  ]

  /// Three segments: one that was finished in order, one that was taken over in mid-term, and the one
  /// that carried its last commit over.
  private static func logs() throws -> [String: [UInt8]] {
    let fileSystem = MemoryFileSystem()
    let layout = StoreLayout("/s")
    fileSystem.makeDirectories([layout.log, layout.oldLog])
    let number = Atomic<UInt64>(0x2000)
    let environment = Environment(
      fileSystem: fileSystem, clock: ManualClock(), executor: InlineExecutor(),
      random: { number.wrappingAdd(1, ordering: .relaxed).newValue })

    func claim(_ observed: UInt64, _ name: String) throws -> LogHolder {
      var claim = LogClaim(
        of: StoreHandle(layout: layout, id: Samples.store, environment: environment), holder: name,
        engine: .init(sourceID: "source-id", compileOptions: "A=1\nB", architecture: "x86_64"))
      claim.segmentBytes = 128 << 10
      let won = try claim.claim(successorOf: observed) { holder, inherited in
        holder.beacon(.active, inherited?.status ?? ApplierStatus(), time_ms: 1_700_000_000_001)
      }
      guard let won else { throw StoreError(.invalid, "lost a claim without a rival") }
      return won.holder
    }
    func publish(_ holder: LogHolder, _ state: Beacon.State = .active) throws {
      try holder.publish(holder.beacon(state, status, time_ms: 1_700_000_000_002))
    }

    let first = try claim(0, "host-1")
    _ = try first.commit(commit(behind: first, count: 5))
    try publish(first)
    _ = try first.commit(commit(behind: first, count: 1))
    try first.finish()
    try publish(first, .released)
    let second = try claim(1, "host-2")
    _ = try second.commit(commit(behind: second, count: 1))
    try publish(second)
    _ = try second.commit(commit(behind: second, count: 2))
    _ = try claim(2, "host-3")
    var files: [String: [UInt8]] = [:]
    for number in 1...3 {
      files["log-\(number)"] = content(
        fileSystem.disk, "\(layout.log)/\(StoreLayout.logName(UInt64(number)))")
    }
    return files
  }

  static var status: ApplierStatus {
    var status = ApplierStatus()
    status.checkpoint = TxID(1)
    status.backlogBatches = 2
    status.backlogBytes = 3
    status.oldest_ms = 4
    status.batchesPerSecond = 5
    status.rejected = 6
    status.quarantined = 7
    status.writers = 8
    status.uncleanTerms = 9
    status.attempts = [
      Attempt(
        batch: BatchID(writer: Samples.writer, sequence: SequenceNumber(3)), length: 4, ends: 2,
        isExecuting: true)
    ]
    return status
  }

  private static func commit(behind holder: LogHolder, count: UInt32) throws -> CommitContent {
    let commit = holder.extent.commits + 1
    var content = CommitContent(
      first: holder.extent.txid.next, count: count,
      meta: CommitMeta(
        commit: commit, time_ms: 1_700_000_000_000 + Int64(commit),
        entropy: Identifier128(high: 0xE0, low: commit), pageSize: 512,
        pageCount: commit == 2 ? 3 : 4, checksum: DatabaseChecksum(0xD000 + commit), rejected: 1),
      entries: [
        PageEntry(page: 1, storedBytes: 512, crc: crc32c(otherPage), offset: 0),
        PageEntry(
          page: UInt32(commit) + 1, storedBytes: UInt32(compressedPage.count), crc: crc32c(page),
          offset: 512),
      ],
      outcomes: count == 5 ? outcomes : Array(outcomes[..<Int(count)]), consumed: consumed,
      pages: .memory(otherPage + compressedPage),
      batches: SectionContent(
        .batches,
        raw: Samples.list(
          [[UInt8]](repeating: try Samples.batch.encoded(), count: Int(count)))))
    if commit == 2 { content.pruned = [Samples.otherWriter] }
    return content
  }

  // MARK: The rest

  static let sidecarHeader = CheckpointSidecar.Header(
    store: Samples.store, extent: LogExtent(txid: TxID(6), commits: 2, time_ms: 1_700_000_000_002),
    pageSize: 512, pageCount: 1030, checksum: DatabaseChecksum(0xD002), rejected: 1)
  static let sidecarChecksums = (0..<1030).map { UInt32($0) &* 2_654_435_761 }

  private static func checkpoint() throws -> [UInt8] {
    let fileSystem = MemoryFileSystem()
    let file = try fileSystem.create("/x.pages", mode: 0o600)
    try CheckpointSidecar.write(sidecarHeader, checksums: sidecarChecksums, to: file)
    return fileSystem.disk.content("/x.pages") ?? []
  }
}
