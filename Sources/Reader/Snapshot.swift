package import SluiceJournal
package import SluiceShared

/// The database as of a TxID. Immutable, and readable from any thread.
///
/// It holds the files that it needs open, so that their removal on this host does not hurt it; on
/// another host that ends it with `.snapshotExpired`.
package final class Snapshot: Sendable {
  /// The last batch and commit in it.
  package let extent: LogExtent
  /// As its last commit says, or its checkpoint: a commit can change it, and then has written every page.
  package let pageSize: Int
  package let pageCount: UInt32
  package let checksum: DatabaseChecksum
  /// Batches rejected since the store was made.
  package let rejected: UInt64

  let index: PageIndex
  let checkpoint: CheckpointPages
  private let lockBytePage: UInt32
  /// The CRC-32C of a page of zeros, which is what a page has that nobody wrote.
  private let emptyPageCRC: UInt32
  /// Page 1, kept from its first reading on: each read transaction begins by looking at it.
  private let first = Monitor<[UInt8]?>(nil)

  package var txid: TxID { extent.txid }
  /// The checkpoint that it is based on.
  package var checkpointTxID: TxID { checkpoint.txid }
  /// The database's size in bytes.
  package var byteCount: Int64 { Int64(pageCount) * Int64(pageSize) }

  init(
    _ checkpoint: CheckpointPages, _ index: PageIndex, extent: LogExtent, pageSize: Int,
    pageCount: UInt32, checksum: DatabaseChecksum, rejected: UInt64
  ) {
    self.checkpoint = checkpoint
    self.index = index
    self.extent = extent
    self.pageCount = pageCount
    self.checksum = checksum
    self.rejected = rejected
    self.pageSize = pageSize
    emptyPageCRC = checkpoint.emptyPageCRC(pageSize: pageSize)
    lockBytePage = DatabaseChecksum.lockBytePage(pageSize: pageSize)
  }

  /// Fills `buffer`, which is one page long, with page `page` (from 1). A page beyond the database's
  /// end, and the one that holds SQLite's lock byte, is zeros.
  ///
  /// Throws `.damaged` naming file and offset where the bytes are not what was written, after a
  /// second look past the caches, and `.snapshotExpired` where the file is gone.
  package func read(page: UInt32, into buffer: UnsafeMutableRawBufferPointer) throws(StoreError) {
    precondition(buffer.count == pageSize, "a snapshot is read by pages")
    switch place(of: page) {
    case .log(let entry):
      let isNewest = Int(entry.slot) == index.segments.count - 1
      try index.segments[Int(entry.slot)].read(entry, isNewest: isNewest, into: buffer)
    case .checkpoint: try checkpoint.read(page, into: buffer)
    case .nowhere: buffer.initializeMemory(as: UInt8.self, repeating: 0)
    }
  }

  /// The CRC-32C of the page's content; nothing is read of the page itself.
  package func crc(ofPage page: UInt32) throws(StoreError) -> UInt32 {
    switch place(of: page) {
    case .log(let entry): entry.crc
    case .checkpoint: try checkpoint.crc(ofPage: page)
    case .nowhere: emptyPageCRC
    }
  }

  /// The checksum of the database after a commit that changes these pages and leaves `pageCount`. One that changes
  /// the page size has all pages of the database.
  package func checksum(
    adding entries: [PageEntry], pageSize newSize: Int, pageCount newCount: UInt32
  ) throws(StoreError) -> DatabaseChecksum {
    guard newSize == pageSize else {
      var checksum = DatabaseChecksum()
      for entry in entries { checksum.toggle(page: entry.page, crc: entry.crc) }
      return checksum
    }
    var checksum = checksum
    for entry in entries {
      if entry.page <= pageCount {
        checksum.toggle(page: entry.page, crc: try crc(ofPage: entry.page))
      }
      checksum.toggle(page: entry.page, crc: entry.crc)
    }
    if newCount < pageCount {
      for page in newCount + 1...pageCount where page != lockBytePage {
        checksum.toggle(page: page, crc: try crc(ofPage: page))
      }
    }
    return checksum
  }

  package func checksum(adding entries: [PageEntry], _ meta: CommitMeta) throws(StoreError)
    -> DatabaseChecksum
  {
    try checksum(adding: entries, pageSize: Int(meta.pageSize), pageCount: meta.pageCount)
  }

  func place(of page: UInt32) -> PageIndex.Place {
    guard page >= 1, page <= pageCount, page != lockBytePage else { return .nowhere }
    let place = index.place(of: page)
    if case .checkpoint = place, page > checkpoint.header.pageCount { return .nowhere }
    return place
  }

  /// Whether a page lies at the same place in `other`, of the same store, and so is the same.
  func isSame(_ page: UInt32, as other: Snapshot) -> Bool {
    guard pageSize == other.pageSize else { return false }
    switch (place(of: page), other.place(of: page)) {
    case (.log(let here), .log(let there)):
      let (mine, its) = (
        index.segments[Int(here.slot)].segment.header,
        other.index.segments[Int(there.slot)].segment.header
      )
      return here.offset == there.offset && mine.number == its.number && mine.nonce == its.nonce
    case (.checkpoint, .checkpoint): return checkpoint.txid == other.checkpoint.txid
    case (.nowhere, .nowhere): return true
    default: return false
    }
  }

  /// Page 1; read once and then kept.
  package func firstPage() throws(StoreError) -> [UInt8] {
    if let known = first.withLock({ $0 }) { return known }
    var page = [UInt8](repeating: 0, count: pageSize)
    let result = page.withUnsafeMutableBytes { buffer in
      Result { () throws(StoreError) in try read(page: 1, into: buffer) }
    }
    try result.get()
    first.withLock { $0 = page }
    return page
  }
}

extension Snapshot {
  /// A checkpoint by itself, of a store that may have no log yet.
  package convenience init(checkpoint txid: TxID, of store: StoreHandle) throws(StoreError) {
    let checkpoint = try CheckpointPages(txid, StoreFiles(of: store))
    let header = checkpoint.header
    self.init(
      checkpoint, PageIndex(), extent: header.extent, pageSize: Int(header.pageSize),
      pageCount: header.pageCount, checksum: header.checksum, rejected: header.rejected)
  }

  /// What was published at `point`, from the newest checkpoint before that on, but none of `damaged`; nil: at
  /// `present`.
  package static func recorded(
    in log: Log, upTo present: Log.Present, asOf point: HistoryPoint?,
    except damaged: Set<TxID> = []
  ) throws(StoreError) -> Snapshot {
    try SnapshotDraft.building(
      log, upTo: present, asOf: point, except: damaged, StoreFiles(of: log.store)
    ).snapshot()
  }

  /// The snapshot after one more commit: `entries` are its pages, ascending, with offsets in
  /// `segment`. Does no I/O.
  ///
  /// `stored`: its pages as they lie there, where who adds it has made it; a few are kept, not to be read back.
  package func adding(
    entries: [PageEntry], in segment: LogSegment, meta: CommitMeta, extent: LogExtent,
    stored: [UInt8] = []
  ) -> Snapshot {
    var next = SnapshotDraft(self)
    next.add(entries, in: segment, meta, extent)
    if !stored.isEmpty, let offset = entries.lazy.map(\.offset).min() {
      next.keep(stored, at: offset)
    }
    return next.snapshot()
  }
}

/// A snapshot in the making.
struct SnapshotDraft {
  let checkpoint: CheckpointPages
  private var index: PageIndex
  private(set) var extent: LogExtent
  private var pageSize: Int
  private var pageCount: UInt32
  private var checksum: DatabaseChecksum
  private var rejected: UInt64

  init(_ snapshot: Snapshot) {
    checkpoint = snapshot.checkpoint
    index = snapshot.index
    extent = snapshot.extent
    pageSize = snapshot.pageSize
    pageCount = snapshot.pageCount
    checksum = snapshot.checksum
    rejected = snapshot.rejected
  }

  /// The checkpoint itself.
  init(_ checkpoint: CheckpointPages) {
    self.checkpoint = checkpoint
    index = PageIndex()
    extent = checkpoint.header.extent
    pageSize = Int(checkpoint.header.pageSize)
    pageCount = checkpoint.header.pageCount
    checksum = checkpoint.header.checksum
    rejected = checkpoint.header.rejected
  }

  /// One commit, or several by their merged index: then `fewestPages` is the smallest size that the
  /// database had after any of them, 0 where one of them changed the page size.
  ///
  /// Behind a change of the page size all that older commits and the checkpoint say is void: they number other pages.
  mutating func add(
    _ entries: [PageEntry], in segment: LogSegment, _ meta: CommitMeta, _ extent: LogExtent,
    fewestPages: UInt32 = .max
  ) {
    index.add(
      entries, in: segment, pageCount: meta.pageCount,
      fewestPages: isResized(by: meta) ? 0 : fewestPages, files: checkpoint.files)
    self.extent = extent
    if checkpoint.files.environment.makes(.ownPageSize) { pageSize = Int(meta.pageSize) }
    pageCount = meta.pageCount
    checksum = meta.checksum
    rejected = meta.rejected
  }

  private func isResized(by meta: CommitMeta) -> Bool { Int(meta.pageSize) != pageSize }

  /// Whether what is added, of which no page lies in anything older, has all pages of the database. `fewestPages` is
  /// that of a merged index.
  func isWhole(_ entries: [PageEntry], _ meta: CommitMeta, fewestPages: UInt32 = .max) -> Bool {
    guard isResized(by: meta) || fewestPages == 0 else { return true }
    let lockByte = DatabaseChecksum.lockBytePage(pageSize: Int(meta.pageSize))
    let count = entries.count { $0.page <= meta.pageCount && $0.page != lockByte }
    return count == Int(meta.pageCount) - (lockByte <= meta.pageCount ? 1 : 0)
  }

  /// What was just read of the newest segment's published part.
  func keep(_ bytes: [UInt8], at offset: Int64) {
    index.segments.last?.keep(bytes, at: offset)
  }

  func snapshot() -> Snapshot {
    Snapshot(
      checkpoint, index, extent: extent, pageSize: pageSize, pageCount: pageCount,
      checksum: checksum, rejected: rejected)
  }
}
