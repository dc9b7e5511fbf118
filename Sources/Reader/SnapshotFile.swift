internal import CSQLite
internal import SluiceSQLite
internal import SluiceShared

/// A snapshot as SQLite's main database file.
///
/// SHARED is where a read transaction begins: it refreshes as asked, then pins. Until NONE every
/// read is of that snapshot. The change counter in page 1, which rises with each commit, tells SQLite
/// whether the pages that it kept are still valid.
final class SnapshotFile: VirtualFile {
  private let store: PageStore
  private let freshness: Freshness
  /// The pinned snapshot; between transactions the last one.
  private(set) var snapshot: Snapshot
  private var isPinned = false
  /// Page 1 of `snapshot`, from its first reading on.
  private var firstPage: [UInt8]?
  /// The snapshot that the next transactions are to see, whatever the freshness.
  var assigned: Snapshot?
  /// Why the last call failed that did.
  private(set) var lastError: StoreError?

  init(_ store: PageStore, _ freshness: Freshness) {
    self.store = store
    self.freshness = freshness
    snapshot = store.current
  }

  // MARK: Locks

  func lock(_ level: Int32) throws(VFSFailure) {
    guard level == SQLITE_LOCK_SHARED else { throw VFSFailure(SQLITE_READONLY) }
    guard !isPinned else { return }
    let newest: Snapshot
    if let assigned {
      newest = assigned
    } else {
      do throws(StoreError) { newest = try store.snapshot(freshness) } catch {
        throw failed(error, .lock)
      }
    }
    if newest !== snapshot {
      snapshot = newest
      firstPage = nil
    }
    isPinned = true
  }

  func unlock(_ level: Int32) throws(VFSFailure) {
    if level == SQLITE_LOCK_NONE { isPinned = false }
  }

  // MARK: Reading

  func size() throws(VFSFailure) -> Int64 { snapshot.byteCount }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(VFSFailure) {
    do throws(StoreError) {
      if offset >= 0, offset + Int64(buffer.count) <= snapshot.pageSize, snapshot.pageCount > 0 {
        return copy(try pageOne(), from: Int(offset), into: buffer)
      }
      let count = Int(max(0, min(Int64(buffer.count), snapshot.byteCount - offset)))
      try readPages(into: UnsafeMutableRawBufferPointer(rebasing: buffer[0..<count]), at: offset)
      guard count < buffer.count else { return }
      UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
        .initializeMemory(as: UInt8.self, repeating: 0)
    } catch {
      throw failed(error, .read)
    }
    throw .shortRead
  }

  private func pageOne() throws(StoreError) -> [UInt8] {
    if let firstPage { return firstPage }
    let page = try snapshot.firstPage()
    firstPage = page
    return page
  }

  private func copy(_ page: [UInt8], from start: Int, into buffer: UnsafeMutableRawBufferPointer) {
    page.withUnsafeBytes {
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + buffer.count]))
    }
  }

  /// Reads what lies within the database: whole pages, or with parts of pages at either end.
  private func readPages(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64)
    throws(StoreError)
  {
    let pageSize = snapshot.pageSize
    var done = 0
    while done < buffer.count {
      let (page, start) = (offset + Int64(done)).quotientAndRemainder(dividingBy: Int64(pageSize))
      let count = min(pageSize - Int(start), buffer.count - done)
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
      if count == pageSize {
        try snapshot.read(page: UInt32(page) + 1, into: part)
      } else {
        let workspace = PageWorkspace.take()
        defer { PageWorkspace.give(workspace) }
        let whole = UnsafeMutableRawBufferPointer(rebasing: workspace.page[0..<pageSize])
        try snapshot.read(page: UInt32(page) + 1, into: whole)
        part.copyMemory(
          from: UnsafeRawBufferPointer(rebasing: whole[Int(start)..<Int(start) + count]))
      }
      done += count
    }
  }

  // MARK: Controls

  /// Gives out this file itself, to who asks for it through `sqlite3_file_control` on a connection.
  static let identify: Int32 = 0x534C_5543

  func control(_ operation: Int32, _ argument: UnsafeMutableRawPointer?) -> Int32 {
    guard let argument else { return SQLITE_NOTFOUND }
    switch operation {
    case Self.identify:
      argument.storeBytes(
        of: Unmanaged.passUnretained(self).toOpaque(), as: UnsafeMutableRawPointer.self)
      return SQLITE_OK
    case SQLITE_FCNTL_PRAGMA:
      // The result, the pragma's name, its argument.
      let texts = argument.assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self)
      guard let name = texts[1], sqlite3_stricmp(name, "sluice_txid") == 0 else {
        return SQLITE_NOTFOUND
      }
      texts[0] = allocated(snapshot.txid.description)
      return SQLITE_OK
    default: return SQLITE_NOTFOUND
    }
  }

  /// A C string that SQLite frees.
  private func allocated(_ text: String) -> UnsafeMutablePointer<CChar>? {
    let bytes = text.utf8CString
    let copy = sqlite3_malloc(Int32(bytes.count))?.assumingMemoryBound(to: CChar.self)
    if let copy { for (i, byte) in bytes.enumerated() { (copy + i).initialize(to: byte) } }
    return copy
  }

  private func failed(_ error: StoreError, _ usual: VFSFailure) -> VFSFailure {
    lastError = error
    return ReadVFS.failure(error, usual)
  }

  /// Returns the last error and forgets it.
  func takeLastError() -> StoreError? {
    defer { lastError = nil }
    return lastError
  }
}
