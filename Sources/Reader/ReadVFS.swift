internal import CSQLite
internal import Glibc
internal import SluiceJournal
package import SluiceShared
package import SluiceVFS

/// The read-only file system for SQLite named `sluice`: with it any SQLite API in the process reads
/// a store, by a URI such as `file:/mnt/efs/orders?vfs=sluice`.
///
/// Parameters: `fresh=latest` (the default), or `at_least=TXID` (with `timeout_ms`, 30000), or
/// `max_staleness_ms=N`; or, of the past, `txid=N` or `at=TIME` (RFC 3339): the state after the last commit
/// that is not later. `assist=1` is for who writes (the extension). The database is read-only however it is opened. `PRAGMA sluice_txid` tells
/// the last batch that the read transaction sees, `PRAGMA sluice_error` what failed last.
///
/// A plain file that is opened through it, as ATTACH does, is the library's own file system's.
public enum ReadVFS {
  public static let name = "sluice"
}

/// What a host of the file system adds to it.
package protocol ReadVFSHost: AnyObject, Sendable {
  /// The answer to `PRAGMA sluice_…` on a connection.
  func answer(_ pragma: StorePragma, on file: SnapshotFile) throws(PragmaFailure) -> String
  /// The file through which a connection writes that was opened to read and write; nil: it only reads.
  func writable(_ file: SnapshotFile) -> (any VirtualFile)?
  /// A call failed; SQLite tells its caller no more than a code.
  func failed(_ error: StoreError)
}

/// The file system as one SQLite library knows it.
package final class StoreFileSystem: VirtualFileSystem {
  package let calls: SQLiteCalls
  let host: (any ReadVFSHost)?
  private let fileSystem = PosixFileSystem()
  private let clock = SystemClock()
  private let last = ThreadLocal<StoreError>()

  package init(_ calls: SQLiteCalls, host: (any ReadVFSHost)? = nil) {
    self.calls = calls
    self.host = host
  }

  // MARK: Errors

  /// Why this thread's last call failed that did, on a connection of this library: of one that is not opened there is
  /// nothing else to ask.
  package var lastError: StoreError? { last.value }

  package var lastErrorText: String? { lastError?.description }

  /// The result code for an error; `usual` where the device failed.
  func failure(_ error: StoreError, _ usual: VFSFailure) -> VFSFailure {
    note(error)
    switch error.code {
    case .damaged: return VFSFailure(SQLITE_IOERR | 32 << 8)  // SQLITE_IOERR_DATA
    case .timeout: return VFSFailure(SQLITE_BUSY | 3 << 8)  // SQLITE_BUSY_TIMEOUT
    case .noSuchStore, .foreign, .unsupported, .invalid: return VFSFailure(SQLITE_CANTOPEN)
    default: return usual
    }
  }

  /// Tells whoever listens with SQLITE_CONFIG_LOG, and whoever asks: a code says too little.
  func note(_ error: StoreError, _ code: Int32 = SQLITE_CANTOPEN) {
    last.value = error
    host?.failed(error)
    calls.log(code, "sluice: \(error)")
  }

  // MARK: Names

  package func currentTime_ms() -> Int64 { clock.wallTime_ms() }

  /// A directory's ends with a slash, as what is to be one may from the first; that tells a store, and what SQLite takes to belong to it, from
  /// files without a look at the disk.
  package func fullPath(_ path: UnsafePointer<CChar>) -> String? {
    let given = String(validatingCString: path)
    guard given?.hasSuffix("/") == true || Self.isDirectory(path) else { return nil }
    let full = realpath(path, nil)
    defer { free(full) }
    // Where a link leads to a name that is no UTF-8, the way there has one; or the other way round.
    guard let text = full.flatMap({ String(validatingCString: $0) }) ?? given else { return nil }
    return text.hasSuffix("/") ? text : text + "/"
  }

  private static func isDirectory(_ path: UnsafePointer<CChar>) -> Bool {
    var found = Glibc.stat()
    return stat(path, &found) == 0 && found.st_mode & S_IFMT == S_IFDIR
  }

  /// All but a store, its journals (`/-journal`, `/-wal`) and a super-journal beside it (`/-mj…`), which
  /// SQLite looks for with each transaction: of these there are none.
  package func isElsewhere(_ path: UnsafePointer<CChar>) -> Bool {
    guard let slash = strrchr(path, Int32(UInt8(ascii: "/"))) else { return true }
    let name = UnsafePointer(slash + 1)
    return name.pointee != 0 && strcmp(name, "-journal") != 0 && strcmp(name, "-wal") != 0
      && strncmp(name, "-mj", 3) != 0
  }

  package func open(_ name: VFSName, flags: Int32) throws(VFSFailure)
    -> (file: any VirtualFile, flags: Int32)?
  {
    guard let path = name.bytes else {
      // What SQLite sorts or builds on the way.
      return (scratchFile(), flags)
    }
    do throws(StoreError) {
      guard isElsewhere(path) else {
        guard flags & SQLITE_OPEN_SUPER_JOURNAL == 0 else {
          throw StoreError(
            .invalid,
            "a transaction that writes a store writes nothing else; COMMIT the one before the other, or write plain databases with one of them as the main database",
            path: name.path)
        }
        guard flags & SQLITE_OPEN_MAIN_DB != 0 else { return (scratchFile(), flags) }
        let file = SnapshotFile(try store(name), try freshness(name), self)
        file.isAssisted = name.flag("assist")
        return open(file, flags)
      }
      guard flags & SQLITE_OPEN_MAIN_DB == 0 || Self.isFile(path) else {
        guard name.path != nil else { throw Self.notUTF8 }
        throw StoreError(
          .noSuchStore,
          "there is no store; check the path, make one with `sluice init`, and where a plain database is to be created, name its file system: file:PATH?vfs=unix",
          path: name.path)
      }
      return nil
    } catch {
      throw failure(error, VFSFailure(SQLITE_CANTOPEN))
    }
  }

  /// The past, and what was opened for reading, is not written.
  private func open(_ file: SnapshotFile, _ flags: Int32)
    -> (file: any VirtualFile, flags: Int32)
  {
    if flags & SQLITE_OPEN_READWRITE != 0, file.isOfPresent, let writable = host?.writable(file) {
      return (writable, flags)
    }
    let readOnly = flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) | SQLITE_OPEN_READONLY
    return (file, readOnly)
  }

  private func scratchFile() -> ScratchFile {
    ScratchFile(fileSystem, ScratchFile.Budget(limit: Limits.scratchBytes))
  }

  private static func isFile(_ path: UnsafePointer<CChar>) -> Bool {
    var found = Glibc.stat()
    return stat(path, &found) == 0 && found.st_mode & S_IFMT != S_IFDIR
  }

  private static var notUTF8: StoreError {
    StoreError(.invalid, "a store has a path, and that is UTF-8; make a link to it that is")
  }

  private func store(_ name: VFSName) throws(StoreError) -> PageStore {
    guard let path = name.path else { throw Self.notUTF8 }
    if let number = name.parameter(PageStore.numberParameter).flatMap({ UInt64($0) }),
      let known = PageStore.numbered(number)
    {
      return known
    }
    return try PageStore.shared(path: path)
  }
}
