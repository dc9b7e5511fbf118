import CSQLite
import Foundation
import SluiceJournal
import SluiceSQLite
import SluiceShared
import SluiceTransactions
import SluiceVFS

/// A state of a `StoreDouble`, pinned by SHARED.
final class DoubleFile: PinnedFile, @unchecked Sendable {
  // Sendable: a test looks at it while its connection is idle.
  let double: StoreDouble
  private var pages: [[UInt8]]
  private(set) var txid: TxID
  private var isPinned = false
  private(set) var errors: [StoreError] = []
  /// Why others were first, until something succeeds; and what is final of that.
  private(set) var refusal: StoreError?
  private(set) var finalRefusals: [StoreError] = []
  private(set) var own = TxID.zero
  var isOfThisProcess = true
  let path = "/double"
  let pageSize = StoreDouble.pageSize
  let enforcesForeignKeys = true

  init(_ double: StoreDouble) {
    self.double = double
    (pages, txid) = double.state.withLock { ($0.pages, $0.txid) }
  }

  var pageCount: UInt32 { UInt32(pages.count) }

  func lock(_ level: Int32) throws(VFSFailure) {
    guard !isPinned else { return }
    (pages, txid) = double.state.withLock { ($0.pages, $0.txid) }
    isPinned = true
  }

  func unlock(_ level: Int32) throws(VFSFailure) {
    if level == SQLITE_LOCK_NONE { isPinned = false }
  }

  func size() throws(VFSFailure) -> Int64 { Int64(pages.count * pageSize) }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(VFSFailure) {
    let (page, start) = Int(offset).quotientAndRemainder(dividingBy: pageSize)
    guard page < pages.count, start + buffer.count <= pageSize else { throw .shortRead }
    buffer.copyBytes(from: pages[page][start..<start + buffer.count])
  }

  func read(page: UInt32, into buffer: UnsafeMutableRawBufferPointer) throws(StoreError) {
    buffer.copyBytes(from: pages[Int(page) - 1])
  }

  func newest() throws(StoreError) -> TxID { double.state.withLock { $0.txid } }
  func beacon() throws(StoreError) -> Beacon { try double.beacon() }
  func see(_ txid: TxID) {}
  func committed(_ txid: TxID) { own = txid }
  func note(_ error: StoreError) { errors.append(error) }
  func noteRefusal(_ error: StoreError, isFinal: Bool) {
    refusal = error
    if isFinal { finalRefusals.append(error) }
  }
  func forgetRefusal() { refusal = nil }
}

/// Opens `TransactionFile`s over doubles, by the name under which they are known.
final class DoubleFileSystem: VirtualFileSystem {
  static let shared = DoubleFileSystem()
  private static let registration = VFSRegistration(name: "double", shared)
  private let doubles = Monitor<[String: (StoreDouble, Environment)]>([:])
  /// By the name of its double, what was opened last.
  let opened = Monitor<[String: DoubleFile]>([:])

  func add(_ double: StoreDouble, _ environment: Environment) -> String {
    _ = Self.registration
    return doubles.withLock { doubles in
      let name = "/double-\(doubles.count)/"
      doubles[name] = (double, environment)
      return name
    }
  }

  func open(_ name: VFSName, flags: Int32) throws(VFSFailure)
    -> (file: any VirtualFile, flags: Int32)?
  {
    if let bytes = name.bytes, isElsewhere(bytes) { return nil }
    guard flags & SQLITE_OPEN_MAIN_DB != 0 else {
      return (ScratchFile(PosixFileSystem(), ScratchFile.Budget(limit: 1 << 30)), flags)
    }
    guard let path = name.path, let (double, environment) = doubles.withLock({ $0[path] }) else {
      return nil
    }
    let base = DoubleFile(double)
    opened.withLock { $0[path] = base }
    let file = TransactionFile(base, .linked, environment) { () throws(StoreError) in double }
    return (file, flags)
  }

  func isElsewhere(_ path: UnsafePointer<CChar>) -> Bool {
    strstr(path, "/double-") == nil
  }

  func fullPath(_ path: UnsafePointer<CChar>) -> String? {
    String(validatingCString: path).flatMap { $0.hasPrefix("/double-") ? $0 : nil }
  }

  func currentTime_ms() -> Int64 { Int64(Date().timeIntervalSince1970 * 1000) }
}

/// A store double with a table, and connections to it.
struct DoubleStore {
  let double: StoreDouble
  let path: String

  init(
    _ schema: String =
      "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 0)",
    turnTime: TimeInterval = 1, checksBase: Bool = true, grantsCommit: Bool = true,
    omitting checks: Set<SafetyCheck> = [], clock: any SluiceShared.Clock = SystemClock()
  ) throws {
    let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
    defer { try? FileManager.default.removeItem(atPath: file) }
    let plain = try Connection(path: file, flags: [.readWrite, .create])
    try plain.execute("PRAGMA page_size = 4096; \(schema)")
    try plain.close()
    let bytes = try Array(Data(contentsOf: URL(fileURLWithPath: file)))
    double = StoreDouble(
      database: bytes, turnTime: turnTime, checksBase: checksBase, grantsCommit: grantsCommit)
    var environment = Environment.posix()
    environment.omittedChecks = checks
    environment.clock = clock
    path = DoubleFileSystem.shared.add(double, environment)
  }

  var uri: String { "file://\(path)?vfs=double" }

  /// A connection whose busy timeout is `timeout`; nil leaves it as it is.
  func open(timeout: Int32? = nil) throws -> Connection {
    let connection = try Connection(path: uri, flags: [.readWrite, .uri, .noMutex])
    if let timeout { sqlite3_busy_timeout(connection.handle, timeout) }
    return connection
  }

  /// The database as plain SQLite reads it.
  func plainly<R>(_ body: (Connection) throws -> R) throws -> R {
    let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    defer { try? FileManager.default.removeItem(at: file) }
    try Data(double.database).write(to: file)
    let plain = try Connection(path: file.path, flags: [.readWrite])
    return try body(plain)
  }
}

/// The code of the error that `body` throws; nil where it throws none.
func code(_ body: () throws -> Void) -> Int32? {
  do { try body() } catch let error as SQLiteError { return error.code } catch { return -1 }
  return nil
}

let busySnapshot = SQLITE_BUSY | 2 << 8
