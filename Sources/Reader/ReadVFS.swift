internal import CSQLite
internal import Glibc
internal import SluiceJournal
internal import SluiceSQLite
public import SluiceShared

/// The read-only file system for SQLite named `sluice`: with it any SQLite API in the process reads
/// a store, by a URI such as `file:/mnt/efs/orders?vfs=sluice`.
///
/// Parameters: `fresh=latest` (the default), or `at_least=TXID` (with `timeout_ms`, 30000), or
/// `max_staleness_ms=N`; or, of the past, `txid=N` or `at=TIME` (RFC 3339): the state after the last commit
/// that is not later. The database is read-only however it is opened. `PRAGMA sluice_txid` tells
/// the last batch that the read transaction sees.
public enum ReadVFS {
  public static let name = "sluice"

  private static let registration = VFSRegistration(name: name, SnapshotFileSystem())
  private static let last = Monitor<StoreError?>(nil)

  /// Makes it known to SQLite; once per process, further calls do nothing.
  public static func register() { _ = registration }

  /// Why the last call failed that did, on any connection: SQLite itself tells no more than a code.
  public static var lastError: StoreError? { last.withLock { $0 } }

  /// The result code for an error; `usual` where the device failed.
  static func failure(_ error: StoreError, _ usual: VFSFailure) -> VFSFailure {
    last.withLock { $0 = error }
    // For whoever listens with SQLITE_CONFIG_LOG: a code says too little.
    csqlite_log(SQLITE_CANTOPEN, "sluice: \(error)")
    switch error.code {
    case .damaged: return VFSFailure(SQLITE_IOERR | 32 << 8)  // SQLITE_IOERR_DATA
    case .timeout: return VFSFailure(SQLITE_BUSY | 3 << 8)  // SQLITE_BUSY_TIMEOUT
    case .noSuchStore, .foreign, .unsupported, .invalid: return VFSFailure(SQLITE_CANTOPEN)
    default: return usual
    }
  }
}

private final class SnapshotFileSystem: VirtualFileSystem {
  private let fileSystem = PosixFileSystem()
  private let clock = SystemClock()

  var lastErrorText: String? { ReadVFS.lastError?.description }

  func currentTime_ms() -> Int64 { clock.wallTime_ms() }

  func fullPath(_ path: String) -> String {
    guard let full = realpath(path, nil) else { return path }
    defer { free(full) }
    // Where a link leads to a name that is no UTF-8, the way there has one.
    return String(validatingCString: full) ?? path
  }

  func open(_ name: VFSName, flags: Int32) throws(VFSFailure)
    -> (file: any VirtualFile, flags: Int32)
  {
    let journals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL
    guard flags & journals == 0 else { throw VFSFailure(SQLITE_CANTOPEN) }
    guard flags & SQLITE_OPEN_MAIN_DB != 0 else {
      // What SQLite sorts or builds on the way.
      let budget = ScratchFile.Budget(limit: Limits.scratchBytes)
      return (ScratchFile(fileSystem, budget), flags)
    }
    do throws(StoreError) {
      let file = SnapshotFile(try store(name), try freshness(name))
      let readOnly = flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) | SQLITE_OPEN_READONLY
      return (file, readOnly)
    } catch {
      throw ReadVFS.failure(error, VFSFailure(SQLITE_CANTOPEN))
    }
  }

  private func store(_ name: VFSName) throws(StoreError) -> PageStore {
    guard let path = name.path else {
      throw StoreError(.invalid, "a store has a path, and that is UTF-8")
    }
    if let number = name.parameter(PageStore.numberParameter).flatMap({ UInt64($0) }),
      let known = PageStore.numbered(number)
    {
      return known
    }
    return try PageStore.shared(path: path)
  }

  private func freshness(_ name: VFSName) throws(StoreError) -> Freshness {
    for refused in ["immutable", "nolock"] where name.flag(refused) {
      throw StoreError(
        .invalid,
        "\(refused)=1 would hide other processes' commits; leave it out, or read a checkpoint file")
    }
    let fresh = name.parameter("fresh")
    guard fresh ?? "latest" == "latest" else {
      throw StoreError(.invalid, "fresh=\(fresh ?? "") is not known; the only value is latest")
    }
    let atLeast = try number(name, "at_least")
    let staleness = try number(name, "max_staleness_ms")
    let timeout = try number(name, "timeout_ms") ?? 30_000
    switch (fresh, atLeast, staleness, try past(name)) {
    case (_, nil, nil, nil): return .latest
    case (nil, let txid?, nil, nil): return .atLeast(TxID(txid), timeout: .milliseconds(timeout))
    case (nil, nil, let limit?, nil): return .maxStaleness(.milliseconds(limit))
    case (nil, nil, nil, let point?): return .asOf(point)
    default:
      throw StoreError(.invalid, "give one of fresh, at_least, max_staleness_ms, txid and at")
    }
  }

  private func past(_ name: VFSName) throws(StoreError) -> HistoryPoint? {
    switch (try number(name, "txid"), name.parameter("at")) {
    case (nil, nil): return nil
    case (let txid?, nil): return .txid(TxID(txid))
    case (nil, let text?):
      guard let time_ms = milliseconds(ofTimestamp: text) else {
        throw StoreError(
          .invalid, "at=\(text) is no time; write it as 2026-11-22T10:00:00Z (RFC 3339)")
      }
      return .time_ms(time_ms)
    case (_?, _?): throw StoreError(.invalid, "give one of txid and at")
    }
  }

  private func number(_ name: VFSName, _ parameter: String) throws(StoreError) -> UInt64? {
    guard let text = name.parameter(parameter) else { return nil }
    guard let number = UInt64(text), number <= Int64.max else {
      throw StoreError(.invalid, "\(parameter)=\(text) is no whole number")
    }
    return number
  }
}
