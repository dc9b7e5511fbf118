internal import CSQLite
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared

/// The main database file of the applier's connection: a snapshot, and over it the pages that were
/// written since.
///
/// What is written becomes history at the first `sync` inside the applier's own COMMIT. Every other
/// sync (a rollback after the cache spilled does one) forgets what was written, because SQLite has
/// just written back what was there before. After a failure nothing is written until a new session
/// opens the database: SQLite tries a failed COMMIT's writes again inside the same COMMIT.
final class DatabaseFile: VirtualFile {
  private(set) var snapshot: Snapshot
  private let pages: DirtyPages
  private let pageSize: Int
  /// Set during the applier's own COMMIT: turns the dirty pages into a commit and returns the
  /// snapshot with it.
  private var committing: ((Snapshot, DirtyPages) throws(StoreError) -> Snapshot)?
  private(set) var hasCommitted = false
  private(set) var failure: StoreError?
  private var hasFullCommit = false
  /// Of changed pages less stays in memory.
  var keepsLittle: Bool {
    get { pages.memoryBytes < Limits.dirtyBytes }
    set { pages.memoryBytes = newValue ? Limits.dirtyBytes / 4 : Limits.dirtyBytes }
  }
  /// Page 1 as committed: SQLite reads its change counter in each transaction.
  private var firstPage: [UInt8]?

  init(_ snapshot: Snapshot, fileSystem: any FileSystem) {
    self.snapshot = snapshot
    pageSize = snapshot.pageSize
    pages = DirtyPages(pageSize: snapshot.pageSize, fileSystem: fileSystem)
  }

  /// Runs `commit` (SQLite's COMMIT), in which the first sync hands the pages to `write`.
  func committing(
    _ write: @escaping (Snapshot, DirtyPages) throws(StoreError) -> Snapshot,
    _ commit: () throws(SQLiteError) -> Void
  ) throws(StoreError) {
    hasCommitted = false
    committing = write
    defer { committing = nil }
    do throws(SQLiteError) { try commit() } catch {
      if failure == nil {
        failure = StoreError(.io, "SQLite's COMMIT failed: \(error)")
      }
    }
    if let failure { throw failure }
    guard hasCommitted else {
      let error = StoreError(.io, "SQLite's COMMIT wrote nothing")
      failure = error
      throw error
    }
  }

  /// Forgets what a transaction that was rolled back had written.
  func discard() {
    pages.removeAll()
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
    guard start + buffer.count <= pageSize else { return false }
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

  /// Whether a write was refused because a commit would have become too large, since this was asked
  /// last.
  func takeFullCommit() -> Bool {
    defer { hasFullCommit = false }
    return hasFullCommit
  }

  private func readWhole(_ page: UInt32, into buffer: UnsafeMutableRawBufferPointer)
    throws(StoreError) -> Bool
  {
    if try pages.read(page, into: buffer) { return true }
    guard page <= snapshot.pageCount else { return false }
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
    guard !hasCommitted || committing == nil else { throw .write }
    precondition(
      bytes.count == pageSize && offset % Int64(pageSize) == 0, "SQLite writes whole pages")
    do throws(StoreError) {
      try pages.write(UInt32(offset / Int64(pageSize)) + 1, bytes)
    } catch {
      if error.code == .limit {
        hasFullCommit = true
        throw VFSFailure(SQLITE_FULL)
      }
      failure = error
      throw .write
    }
  }

  func sync() throws(VFSFailure) {
    guard failure == nil else { throw .sync }
    guard let committing, !hasCommitted else {
      discard()
      return
    }
    do throws(StoreError) {
      snapshot = try committing(snapshot, pages)
      hasCommitted = true
      firstPage = try pages.copy(of: 1)
      pages.removeAll()
    } catch {
      failure = error
      throw .sync
    }
  }

  /// Truncation comes after the sync; the size in page 1 has already said it.
  func truncate(to size: Int64) throws(VFSFailure) {}

  func size() throws(VFSFailure) -> Int64 {
    Int64(max(snapshot.pageCount, pages.highest)) * Int64(pageSize)
  }

  var characteristics: Int32 { SQLITE_IOCAP_POWERSAFE_OVERWRITE }
}
