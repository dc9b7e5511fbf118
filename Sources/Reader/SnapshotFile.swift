internal import CSQLite
internal import SluiceJournal
package import SluiceShared
package import SluiceVFS

/// A snapshot as SQLite's main database file.
///
/// SHARED is where a read transaction begins: it refreshes as asked, then pins. Until NONE every
/// read is of that snapshot. The change counter in page 1, which rises with each commit, tells SQLite
/// whether the pages that it kept are still valid.
package final class SnapshotFile: VirtualFile {
  package let store: PageStore
  private let freshness: Freshness
  private let fileSystem: StoreFileSystem
  /// The pinned snapshot; between transactions the last one.
  package private(set) var snapshot: Snapshot
  /// A transaction is open.
  package private(set) var isPinned = false
  private var busyHandler: BusyHandler?
  /// Where SQLite keeps the connection that has this file open.
  private var connection: UnsafeMutablePointer<OpaquePointer?>?
  /// Page 1 of `snapshot`, from its first reading on.
  private var firstPage: [UInt8]?
  /// The snapshot that the next transactions are to see, whatever the freshness.
  package var assigned: Snapshot?
  /// Asked before pages are read; what it throws, the reading throws.
  package var checkBeforeRead: (() throws(StoreError) -> Void)?
  /// The last batch that was submitted through this connection and is known to be in the history: within a
  /// staleness bound, too, a connection sees what it wrote.
  package var written = TxID.zero
  /// The last batch that was committed through this connection.
  package var own = TxID.zero
  /// What the file system's host keeps with a connection; let go when that is closed.
  package var companion: AnyObject?
  /// `assist=1`: this process sees to an applier where nobody leads.
  package internal(set) var isAssisted = false
  /// Why the last call failed that did. `isRefusal`: others were first, which the next success makes past.
  private var lastFailure: (error: StoreError, isRefusal: Bool)?
  /// A connection is of the process that opened it.
  private let forks = forksOfProcess()

  init(_ store: PageStore, _ freshness: Freshness, _ fileSystem: StoreFileSystem) {
    self.store = store
    self.freshness = freshness
    self.fileSystem = fileSystem
    snapshot = store.current
  }

  package func close() {
    // To let it go may take locks that threads of the parent held.
    if !isOfThisProcess, let companion { _ = Unmanaged.passRetained(companion) }
    companion = nil
  }

  /// The functions of the library that has this file open.
  package var calls: SQLiteCalls { fileSystem.calls }

  /// False in a child that was forked since.
  package var isOfThisProcess: Bool { forks == forksOfProcess() }

  // MARK: Locks

  package func lock(_ level: Int32) throws(VFSFailure) {
    guard level == SQLITE_LOCK_SHARED else { throw VFSFailure(SQLITE_READONLY) }
    guard isOfThisProcess else { throw failed(Self.inherited(store.layout.root)) }
    guard !isPinned else { return }
    let newest: Snapshot
    if let assigned {
      newest = assigned
    } else {
      do throws(StoreError) { newest = try sought() } catch {
        // It waited for as long as its parameters say. SQLite would try again for as long as it waits for locks.
        if error.code == .timeout { busyHandler?.exhaust(SystemClock()) }
        throw failed(error, .lock)
      }
    }
    if newest !== snapshot {
      snapshot = newest
      firstPage = nil
    }
    isPinned = true
  }

  package func unlock(_ level: Int32) throws(VFSFailure) {
    if level == SQLITE_LOCK_NONE { isPinned = false }
  }

  private func sought() throws(StoreError) -> Snapshot {
    let found =
      if case .latest = freshness { try store.latest(behind: written) } else {
        try store.snapshot(freshness)
      }
    guard found.txid < written else { return found }
    switch freshness {
    case .maxStaleness, .atLeast: return try store.latest(behind: written)
    case .latest, .asOf: return found
    }
  }

  /// Whether new transactions see what is committed meanwhile.
  var isOfPresent: Bool {
    if case .asOf = freshness { false } else { true }
  }

  /// The last batch that the transaction sees; between transactions the one that the next sees at least.
  var seen: TxID { isPinned ? snapshot.txid : max(snapshot.txid, own) }

  package static func inherited(_ path: String) -> StoreError {
    StoreError(
      .io,
      "this connection was opened before the process forked; a child opens connections of its own",
      path: path)
  }

  // MARK: Reading

  package func size() throws(VFSFailure) -> Int64 { snapshot.byteCount }

  package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(VFSFailure)
  {
    do throws(StoreError) {
      try checkBeforeRead?()
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
  package static let identify: Int32 = 0x534C_5543

  package func control(_ operation: Int32, _ argument: UnsafeMutableRawPointer?) -> Int32 {
    guard let argument else { return SQLITE_NOTFOUND }
    switch operation {
    case Self.identify:
      argument.storeBytes(
        of: Unmanaged.passUnretained(self).toOpaque(), as: UnsafeMutableRawPointer.self)
      return SQLITE_OK
    case SQLITE_FCNTL_PDB:
      connection = argument.assumingMemoryBound(to: OpaquePointer?.self)
      return SQLITE_OK
    case SQLITE_FCNTL_BUSYHANDLER:
      busyHandler = BusyHandler(argument)
      return SQLITE_OK
    case SQLITE_FCNTL_PRAGMA:
      return StorePragma.run(
        argument.assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self), on: self,
        fileSystem.host)
    default: return SQLITE_NOTFOUND
    }
  }

  /// What `last_insert_rowid()` of the connection returns from now on. Before SQLite 3.18 it stays as it is.
  package func setLastInsertRowID(_ rowID: Int64) {
    guard let connection else { return }
    calls.table.pointee.set_last_insert_rowid?(connection.pointee, rowID)
  }

  /// Remembers why a call fails, and tells it.
  package func note(_ error: StoreError) {
    lastFailure = (error, false)
    fileSystem.note(error)
  }

  /// As `note`, where others were first and nothing is wrong. One that SQLite answers by itself, by beginning
  /// again, is only remembered.
  package func noteRefusal(_ error: StoreError, isFinal: Bool) {
    lastFailure = (error, true)
    if isFinal { fileSystem.note(error, SQLITE_BUSY) }
  }

  package func forgetRefusal() {
    if lastFailure?.isRefusal == true { lastFailure = nil }
  }

  private func failed(_ error: StoreError, _ usual: VFSFailure = .lock) -> VFSFailure {
    lastFailure = (error, false)
    return fileSystem.failure(error, usual)
  }

  /// Returns the last error and forgets it.
  package func takeLastError() -> StoreError? {
    defer { lastFailure = nil }
    return lastFailure?.error
  }
}
