import Glibc
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

/// A store, and a place beside it for copies.
///
/// Batch 1 makes the table `t`, and batch n + 1 inserts row n.
final class BackedUpStore {
  let store: TestStore
  let place: String
  /// Of the copies.
  let teardown: StoreTeardown
  var copy: String { "\(place)/copy" }
  var environment: Environment

  init(at place: SourceLocation = #_sourceLocation) throws {
    store = try TestStore(at: place)
    teardown = StoreTeardown(at: place)
    environment = store.environment
    self.place = "\(store.path)-copies"
    try environment.fileSystem.makeDirectory(self.place, mode: 0o755)
    try store.apply("CREATE TABLE t(n INTEGER PRIMARY KEY, x)")
  }

  deinit {
    teardown.verifyStores(in: place)
    removeTree(place)
  }

  static func row(_ n: Int) -> Batch {
    Batch([Batch.Statement("INSERT INTO t VALUES(?, hex(randomblob(300)))", [.integer(Int64(n))])])
  }

  /// A term for each.
  func work(_ rows: ClosedRange<Int>) throws {
    for n in rows { try store.apply([Self.row(n)]) }
  }

  func makeCheckpoint() throws {
    let pages = try PageStore(path: store.path, environment: store.environment)
    try Checkpoint(of: pages.handle).make(of: pages.published(.latest))
  }

  /// Starts an applier on a thread of its own. What is returned ends it.
  func startApplier() -> () throws -> Void {
    let shouldStop = Monitor(false)
    let end = Monitor<Result<Void, StoreError>?>(nil)
    let (path, options, environment) = (store.path, store.options, store.environment)
    startThread {
      let result = Result { () throws(StoreError) in
        try Applier(path: path, options: options, environment: environment)
          .run(shouldStop: { shouldStop.withLock { $0 } })
      }
      end.withLock { $0 = result }
      end.wakeAll()
    }
    return {
      shouldStop.withLock { $0 = true }
      try end.wait { $0 }.get()
    }
  }

  /// With an applier on a thread of its own.
  func applying(_ body: (Writer) throws -> Void) throws {
    let stop = startApplier()
    let writer = try store.writer()
    let result = Result { try body(writer) }
    writer.closeBlocking()
    try stop()
    try result.get()
  }

  // MARK: copies

  @discardableResult
  func backUp(_ other: Environment? = nil, into directory: String? = nil) throws(StoreError)
    -> Backup.Summary
  {
    try Backup(store: store.path, other ?? environment).write(into: directory ?? copy)
  }

  /// What it fails with; nil where it does not.
  func failure(_ other: Environment? = nil, into directory: String? = nil) -> StoreError.Code? {
    do throws(StoreError) { try backUp(other, into: directory) } catch { return error.code }
    return nil
  }

  /// All checksums are right, and the rows are those of the batches up to `last`.
  func expectWhole(
    upTo last: UInt64, in directory: String? = nil, _ location: SourceLocation = #_sourceLocation
  ) throws {
    let path = directory ?? copy
    var damages: [Verification.Damage] = []
    let summary = try Verification(store: path, .posix()) { damages.append($0) }.run()
    #expect(damages == [], sourceLocation: location)
    #expect(summary.last == TxID(last), sourceLocation: location)
    let rows = try queryCopy("SELECT count(*) FROM t", .latest, in: path)
    #expect(rows == .integer(Int64(last) - 1), sourceLocation: location)
  }

  func queryCopy(_ sql: String, _ freshness: Freshness = .latest, in directory: String? = nil)
    throws -> SQLValue?
  {
    let environment = Environment.posix()
    return try Database(
      PageStore(path: directory ?? copy, environment: environment), executor: environment.executor
    ).read(freshness) { try $0.scalar(sql) }
  }

  func names(_ directory: String) throws -> [String] { try PosixFileSystem().list(directory) }

  /// Of segments and checkpoints of the copy.
  func inodes() throws -> [String: UInt64] {
    var found: [String: UInt64] = [:]
    for directory in ["log", "checkpoints"] {
      for name in try names("\(copy)/\(directory)") where name != "old" {
        found[name] = try PosixFileSystem().status("\(copy)/\(directory)/\(name)").inode
      }
    }
    return found
  }

  func copyFiles(to path: String) throws { try copyTree(copy, to: path) }
}

/// `cp -a`, but for owners and times.
func copyTree(_ source: String, to target: String) throws {
  let fileSystem = PosixFileSystem()
  let status = try fileSystem.status(source)
  switch status.kind {
  case .directory:
    try fileSystem.makeDirectory(target, mode: status.permissions & 0o7777)
    for name in try fileSystem.list(source) {
      try copyTree("\(source)/\(name)", to: "\(target)/\(name)")
    }
  case .symbolicLink:
    try fileSystem.replaceSymbolicLink(
      target, target: fileSystem.readSymbolicLink(source))
  default:
    let bytes = try fileSystem.open(source, .fixed).read(Int(status.size), at: 0)
    try fileSystem.create(target, mode: status.permissions & 0o7777).write(bytes, at: 0)
  }
}

func removeTree(_ path: String) {
  let fileSystem = PosixFileSystem()
  if (try? fileSystem.status(path).kind) == .directory {
    for name in (try? fileSystem.list(path)) ?? [] { removeTree("\(path)/\(name)") }
    rmdir(path)
  } else {
    try? fileSystem.unlink(path)
  }
}
