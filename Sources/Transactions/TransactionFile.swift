internal import CSQLite
package import SluiceShared
package import SluiceVFS
package import SluiceWriter

/// A store as SQLite's main database file, read and written: the pinned state, and over it the pages that a
/// transaction wrote.
///
/// SHARED pins a state, RESERVED asks for the turn, SQLITE_FCNTL_SYNC in a COMMIT submits the pages. What is
/// written names the pinned state as its base, and the store takes it only while that is the newest: safety
/// rests on this alone, and the turn only makes it likely. `TransactionState` has the transitions.
package final class TransactionFile: VirtualFile {
  /// Gives out this file itself, through `sqlite3_file_control`.
  static let identify: Int32 = 0x534C_5458

  let base: any PinnedFile
  let environment: Environment
  let calls: SQLiteCalls
  let overlay: Overlay
  var state = TransactionState()
  /// SQLite's cache holds pages that a refused COMMIT wrote, or may have. The next look at the version in page 1
  /// has to find another one: the commit that won can have left the same.
  var cacheIsStale = false
  var connection: HostConnection?
  var busyHandler: BusyHandler?
  /// When the turn was granted, or its holder gave a sign of life.
  var lastSign = Duration.zero
  private let makeClient: () throws(StoreError) -> any TransactionClient
  private(set) var madeClient: (any TransactionClient)?

  /// `client` is called when a transaction writes for the first time.
  package init(
    _ base: any PinnedFile, _ calls: SQLiteCalls, _ environment: Environment,
    client: @escaping () throws(StoreError) -> any TransactionClient
  ) {
    self.base = base
    self.calls = calls
    self.environment = environment
    makeClient = client
    overlay = Overlay(pageSize: base.pageSize, fileSystem: environment.fileSystem)
  }

  func client() throws(StoreError) -> any TransactionClient {
    if let madeClient { return madeClient }
    let made = try makeClient()
    madeClient = made
    return made
  }

  package func close() {
    if let turn = state.giveUpClaim() { giveBack(turn) }
    if let turn = state.release() { giveBack(turn) }
    base.close()
  }

  /// A turn is its parent's, not a forked child's.
  func giveBack(_ turn: Turn) {
    guard base.isOfThisProcess else { return }
    madeClient?.cancel(turn)
  }

  func failed(_ failure: VFSFailure, _ error: StoreError) -> VFSFailure {
    base.note(error)
    return failure
  }

  /// A failure that is none of the store's: others were first.
  func refused(_ failure: VFSFailure, _ error: StoreError, isFinal: Bool = true) -> VFSFailure {
    base.noteRefusal(error, isFinal: isFinal)
    return failure
  }

  /// One or the other, as SQLite's code has it.
  func told(_ failure: VFSFailure, _ error: StoreError) -> VFSFailure {
    failure.code & 0xFF == SQLITE_BUSY ? refused(failure, error) : failed(failure, error)
  }

  func checkProcess() throws(VFSFailure) {
    guard base.isOfThisProcess else {
      throw failed(
        .lock,
        StoreError(
          .io,
          "this connection was opened before the process forked; a child opens connections of its own",
          path: base.path))
    }
  }

  // MARK: Reading

  /// Where page 1 has the change counter and what SQLite compares beside it.
  static let versionOffset: Int64 = 24
  private static let versionBytes = 16

  package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(VFSFailure)
  {
    if cacheIsStale, offset == Self.versionOffset, buffer.count == Self.versionBytes {
      cacheIsStale = false
      buffer.initializeMemory(as: UInt8.self, repeating: 0xFF)
      return
    }
    giveSignOfLife()
    guard !overlay.isEmpty else { return try base.read(into: buffer, at: offset) }
    let isWhole: Bool
    do throws(StoreError) { isWhole = try readPages(into: buffer, at: offset) } catch {
      throw failed(error.code == .damaged ? .corruptFile : .read, error)
    }
    guard isWhole else { throw .shortRead }
  }

  /// False where the database ends before; zeros are there then.
  private func readPages(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64)
    throws(StoreError) -> Bool
  {
    try PageSpan.fill(buffer, from: offset, pageSize: overlay.pageSize) {
      (page, part) throws(StoreError) in
      try overlay.read(page, over: base, into: part)
    }
  }

  package func size() throws(VFSFailure) -> Int64 {
    Int64(overlay.pageCount(over: base.pageCount)) * Int64(overlay.pageSize)
  }

  // MARK: Writing

  package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(VFSFailure) {
    try checkProcess()
    switch state.stage {
    case .writing: giveSignOfLife()
    case .undone: return  // What was there before, as the pinned state has it.
    case .accepted, .readingOwn:
      // A rollback of what the store has taken, because another database of the transaction failed.
      cacheIsStale = true
      throw .write
    case .unlocked, .reading: throw .write
    }
    let pageSize = overlay.pageSize
    guard bytes.count == pageSize, offset % Int64(pageSize) == 0 else {
      throw failed(
        .write,
        StoreError(
          .invalid,
          "the store's pages have \(pageSize) bytes, and a connection cannot change that; leave PRAGMA page_size alone, and use `sluice compact --page-size`",
          path: base.path))
    }
    if overlay.isEmpty, connection?.hasNoJournal(self) == true {
      throw failed(.write, Self.journalOff(base.path))
    }
    do throws(StoreError) {
      try overlay.write(UInt32(clamping: offset / Int64(pageSize) + 1), bytes)
    } catch {
      throw failed(error.code == .limit ? VFSFailure(SQLITE_FULL) : .write, error)
    }
  }

  /// ROLLBACK TO would keep rows without a word.
  static func journalOff(_ path: String) -> StoreError {
    StoreError(
      .invalid,
      "a transaction on a store needs a rollback journal, which lies on the local disk; use journal_mode DELETE or MEMORY",
      path: path)
  }

  /// After the commit, too, SQLite cuts what an incremental vacuum freed; page 1 has said that before.
  package func truncate(to size: Int64) throws(VFSFailure) {
    switch state.stage {
    case .writing: overlay.truncate(to: UInt32(clamping: size / Int64(overlay.pageSize)))
    case .accepted, .undone: break
    case .unlocked, .reading, .readingOwn: throw .truncate
    }
  }

  /// Padding to sectors would only make the journal, a scratch file, larger.
  package var characteristics: Int32 { SQLITE_IOCAP_POWERSAFE_OVERWRITE }
}
