internal import CSQLite
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared
internal import SluiceVFS

/// The main database file of the applier's connection: a snapshot, and over it the pages that were
/// written since.
///
/// The first `sync` inside the applier's own COMMIT seals what was written: it is what the transaction
/// changed, and is handed out to be written into the log. Every other sync but VACUUM's (a rollback after the
/// cache spilled does one) forgets what was written, because SQLite has just written back what was there before.
/// After a failure nothing is read or written until a new session opens the database.
final class DatabaseFile: VirtualFile {
  private(set) var snapshot: Snapshot
  private(set) var pages: DirtyPages
  /// The snapshot's, until VACUUM has changed it.
  private var pageSize: Int { pages.pageSize }
  /// Where the transaction stands.
  private enum Phase {
    /// ── COMMIT begins ──▶ committing; ── VACUUM begins ──▶ compacting
    case open
    /// What its own commit writes is kept ── it has ended ──▶ open
    case compacting
    /// ── its first sync ──▶ sealed
    case committing
    /// Nothing is written any more ── the log has it ──▶ open
    case sealed
  }
  private var phase = Phase.open
  /// Pages that there are, where what lies over the snapshot has fewer or more.
  private var laidOverCount: UInt32?
  private(set) var failure: StoreError?
  /// Which limit of a commit a write ran into.
  private var fullCommit: String?
  /// Of changed pages less stays in memory.
  var keepsLittle: Bool {
    get { pages.memoryBytes < sizes.dirtyBytes }
    set { pages.memoryBytes = newValue ? sizes.dirtyBytes / 4 : sizes.dirtyBytes }
  }
  /// Page 1 as committed: SQLite reads its change counter in each transaction.
  private var firstPage: [UInt8]?

  private let keepsCompacted: Bool
  private let sizes: CommitSizes
  private let fileSystem: any FileSystem
  /// Called for each page of the snapshot that is read. A step of SQLite's can read many of them, each for a
  /// round trip to the file server, before its progress handler is called.
  var onRead: () -> Void = {}

  init(_ snapshot: Snapshot, _ environment: Environment) {
    self.snapshot = snapshot
    keepsCompacted = environment.makes(.compactedPages)
    fileSystem = environment.fileSystem
    sizes = environment.commitSizes
    pages = DirtyPages(
      pageSize: snapshot.pageSize, fileSystem: environment.fileSystem, sizes)
  }

  /// Runs `commit` (SQLite's COMMIT), and returns the pages that the transaction changed.
  func sealing(_ commit: () throws(SQLiteError) -> Void) throws(StoreError) -> DirtyPages {
    phase = .committing
    do throws(SQLiteError) { try commit() } catch {
      fail(StoreError(.io, "SQLite's COMMIT failed: \(error)"))
    }
    if let failure { throw failure }
    guard case .sealed = phase else {
      let error = StoreError(.io, "SQLite's COMMIT wrote nothing")
      fail(error)
      throw error
    }
    return pages
  }

  /// Runs `vacuum` (SQLite's VACUUM), and keeps the pages that it wrote for the transaction that follows.
  /// Where it throws they are to be discarded.
  func keeping(_ vacuum: () throws(SQLiteError) -> Void) throws(SQLiteError) {
    phase = .compacting
    defer { phase = .open }
    try vacuum()
    do throws(StoreError) { try regroup() } catch {
      if error.code == .limit {
        fullCommit = error.message
        throw SQLiteError(code: SQLITE_FULL, message: error.message)
      }
      fail(error)
      throw SQLiteError(code: SQLITE_IOERR, message: error.message)
    }
  }

  /// Where page 1 says another page size than the pages have: what VACUUM wrote is cut into pages of that size.
  ///
  /// Until its transaction has ended SQLite writes the file in pages of the old size.
  private func regroup() throws(StoreError) {
    guard let first = try pages.copy(of: 1), pageSize(in: first) != pageSize else { return }
    let (old, count) = (pages, first.bigEndian32(at: 28))
    let new = emptyPages(pageSize(in: first))
    new.elsewhere = { old.scratchBytes + old.elsewhere() }
    let lockBytes = (
      old: DatabaseChecksum.lockBytePage(pageSize: old.pageSize),
      new: DatabaseChecksum.lockBytePage(pageSize: new.pageSize)
    )
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: new.pageSize, alignment: 64)
    defer { buffer.deallocate() }
    for page in 1...max(1, count) where page != lockBytes.new {
      let offset = Int64(page - 1) * Int64(new.pageSize)
      let isWritten = try PageSpan.fill(buffer, from: offset, pageSize: old.pageSize) {
        (number, part) throws(StoreError) in
        if try old.read(number, into: part) { return true }
        part.initializeMemory(as: UInt8.self, repeating: 0)
        return number == lockBytes.old
      }
      guard isWritten else { throw StoreError(.io, "VACUUM has not written page \(page)") }
      try new.write(page, UnsafeRawBufferPointer(buffer))
      if page % 256 == 0 { onRead() }
    }
    new.elsewhere = old.elsewhere
    pages = new
    laidOverCount = count
    firstPage = nil
  }

  /// What SQLite's header says; 1 stands for 65536.
  private func pageSize(in first: [UInt8]) -> Int {
    let said = Int(first[16]) << 8 | Int(first[17])
    return said == 1 ? 65536 : said
  }

  private func emptyPages(_ pageSize: Int) -> DirtyPages {
    let empty = DirtyPages(pageSize: pageSize, fileSystem: fileSystem, sizes)
    empty.memoryBytes = pages.memoryBytes
    empty.elsewhere = pages.elsewhere
    return empty
  }

  /// Lays a page over the snapshot, for the transaction that follows. `count`: the pages that there are then.
  /// Throws `.limit` where there are more than a commit may have.
  func lay(_ page: UInt32, _ bytes: UnsafeRawBufferPointer, count: UInt32) throws(StoreError) {
    laidOverCount = count
    try pages.write(page, bytes)
  }

  /// Pages lie over the snapshot that no transaction of this connection wrote.
  var isLaidOver: Bool { laidOverCount != nil }

  /// A page as the next transaction will find it; nil where there is none.
  func page(_ number: UInt32) throws(StoreError) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: pageSize)
    let isThere = try bytes.withUnsafeMutableBytes { raw in
      Result { () throws(StoreError) in try readWhole(number, into: raw) }
    }.get()
    return isThere ? bytes : nil
  }

  /// The sealed pages are in the log: `snapshot` has them.
  func adopt(_ snapshot: Snapshot) throws(StoreError) {
    self.snapshot = snapshot
    do throws(StoreError) { firstPage = try pages.copy(of: 1) } catch {
      fail(error)
      throw error
    }
    removePages()
    phase = .open
  }

  private func removePages() {
    if pageSize == snapshot.pageSize {
      pages.removeAll()
    } else {
      pages = emptyPages(snapshot.pageSize)
    }
    laidOverCount = nil
  }

  /// This database is of no use any more; the first reason stays.
  func fail(_ error: StoreError) { failure = failure ?? error }

  /// Forgets what a transaction that was rolled back had written.
  func discard() {
    removePages()
    firstPage = nil
  }

  // MARK: VirtualFile

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(VFSFailure) {
    let isThere: Bool
    do throws(StoreError) { isThere = try fill(buffer, from: offset) } catch {
      failure = failure ?? error
      throw error.code == .damaged ? .corruptFile : .read
    }
    guard isThere else {
      buffer.initializeMemory(as: UInt8.self, repeating: 0)
      throw .shortRead
    }
  }

  /// False where the page is beyond the end.
  private func fill(_ buffer: UnsafeMutableRawBufferPointer, from offset: Int64) throws(StoreError)
    -> Bool
  {
    let page = UInt32(offset / Int64(pageSize)) + 1
    let start = Int(offset % Int64(pageSize))
    if buffer.count == pageSize, start == 0 { return try readWhole(page, into: buffer) }
    guard start + buffer.count <= pageSize else {
      return try PageSpan.fill(buffer, from: offset, pageSize: pageSize) {
        (page, part) throws(StoreError) in try readWhole(page, into: part)
      }
    }
    if page != 1 || !pages.isEmpty || firstPage == nil {
      var bytes = [UInt8](repeating: 0, count: pageSize)
      var result: Result<Bool, StoreError> = .success(false)
      bytes.withUnsafeMutableBytes { raw in
        do throws(StoreError) { result = .success(try readWhole(page, into: raw)) } catch {
          result = .failure(error)
        }
      }
      guard try result.get() else { return false }
      copy(bytes, from: start, to: buffer)
      if page == 1, pages.isEmpty { firstPage = bytes }
    } else if let firstPage {
      copy(firstPage, from: start, to: buffer)
    }
    return true
  }

  /// Why a write was refused because a commit would have become too large, since this was asked last; nil where
  /// none was.
  func takeFullCommit() -> String? {
    defer { fullCommit = nil }
    return fullCommit
  }

  private func readWhole(_ page: UInt32, into buffer: UnsafeMutableRawBufferPointer)
    throws(StoreError) -> Bool
  {
    if try pages.read(page, into: buffer) { return true }
    guard page <= min(laidOverCount ?? .max, snapshot.pageCount) else { return false }
    onRead()
    try snapshot.read(page: page, into: buffer)
    return true
  }

  private func copy(_ page: [UInt8], from start: Int, to buffer: UnsafeMutableRawBufferPointer) {
    page.withUnsafeBytes {
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + buffer.count]))
    }
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(VFSFailure) {
    guard failure == nil else { throw .write }
    // SQLite tries a failed COMMIT's writes again inside the same COMMIT.
    if case .sealed = phase { throw .write }
    let (index, start) = offset.quotientAndRemainder(dividingBy: Int64(pageSize))
    let page = UInt32(index) + 1
    do throws(StoreError) {
      if bytes.count == pageSize, start == 0 {
        try pages.write(page, bytes)
      } else {
        try writePart(of: page, bytes, at: Int(start))
      }
    } catch {
      if error.code == .limit {
        fullCommit = error.message
        throw VFSFailure(SQLITE_FULL)
      }
      failure = error
      throw .write
    }
  }

  /// Where VACUUM makes pages smaller, it writes those beside the lock byte, in the same large page, by themselves.
  private func writePart(of page: UInt32, _ bytes: UnsafeRawBufferPointer, at start: Int)
    throws(StoreError)
  {
    guard case .compacting = phase, start + bytes.count <= pageSize else {
      preconditionFailure("SQLite writes whole pages")
    }
    var whole = try pages.copy(of: page) ?? [UInt8](repeating: 0, count: pageSize)
    whole.replaceSubrange(start..<start + bytes.count, with: bytes)
    try whole.withUnsafeBytes { raw in
      Result { () throws(StoreError) in try pages.write(page, raw) }
    }.get()
  }

  func sync() throws(VFSFailure) {
    guard failure == nil else { throw .sync }
    switch phase {
    case .open: discard()
    case .committing: phase = .sealed
    case .compacting: if !keepsCompacted { discard() }
    case .sealed: break
    }
  }

  /// Of a transaction page 1 has said the size already, and its pages are sealed. VACUUM's file is that short
  /// for the transaction after it.
  func truncate(to size: Int64) throws(VFSFailure) {
    guard case .compacting = phase else { return }
    let count = UInt32((size + Int64(pageSize) - 1) / Int64(pageSize))
    pages.truncate(to: count)
    laidOverCount = count
  }

  func size() throws(VFSFailure) -> Int64 {
    Int64(max(laidOverCount ?? snapshot.pageCount, pages.highest)) * Int64(pageSize)
  }

  var characteristics: Int32 { SQLITE_IOCAP_POWERSAFE_OVERWRITE }
}
