import Glibc
import Logging
import SluiceApplier
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

/// A store in a directory of its own, verified and removed with this object, as are those beside it.
///
/// Its first batch makes the table `t`; every other one that a test submits inserts one row, so that
/// a snapshot of batch N has N - 1 rows, whoever looks and whenever.
final class TestStore: VerifiedStore, Sendable {
  let path: String
  let teardown: StoreTeardown
  private let directory: String
  let environment = Environment.posix()

  init(_ creation: StoreCreation = StoreCreation(), at place: SourceLocation = #_sourceLocation)
    throws
  {
    teardown = StoreTeardown(at: place)
    var template = Array("/tmp/sluice-process-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    try #require(chmod(directory, 0o755) == 0)
    path = "\(directory)/store"
    try creation.make(at: path, environment: environment)
    let writer = try writer()
    _ = try writer.submitBlocking(
      Batch([Batch.Statement("CREATE TABLE t(id INTEGER PRIMARY KEY, w, n, x)")]))
    writer.closeBlocking()
    try drain()
  }

  deinit {
    _ = try? ChildProcess("chmod", ["-R", "u+rwx", directory]).end()
    teardown.verifyStores(in: directory)
    _ = try? ChildProcess("rm", ["-rf", directory]).end()
  }

  var layout: StoreLayout { StoreLayout(path) }

  // MARK: Processes

  /// `sluice apply` with the shortest lease.
  func startApplier(_ holder: String, ttl: Int = 1) throws -> ChildProcess {
    try ChildProcess(program, ["apply", path, "--ttl", "\(ttl)", "--holder", holder])
  }

  // MARK: In this process

  /// Which says at once where there is no room.
  func writer(_ environment: Environment? = nil) throws -> Writer {
    var options = Writer.Options()
    options.fullDiskPatience = .zero
    return try Writer(store: path, options: options, environment: environment ?? self.environment)
  }

  static func row(_ writer: Int, _ n: Int) -> Batch {
    Batch([
      Batch.Statement(
        "INSERT INTO t(w, n) VALUES (?, ?)", [.integer(Int64(writer)), .integer(Int64(n))])
    ])
  }

  /// Options of an applier that succeeds another soon, and is not deposed by a busy machine.
  static func options(_ holder: String = "test") -> ApplierOptions {
    var options = ApplierOptions(holder: holder)
    options.logger.logLevel = .critical
    options.leaseTime = .milliseconds(500)
    options.standbyPoll = .milliseconds(5)
    return options
  }

  /// Applies all that is in the journal, and releases.
  func drain(_ options: ApplierOptions = options(), _ environment: Environment? = nil)
    throws(StoreError)
  {
    var options = options
    options.drains = true
    try Applier(path: path, options: options, environment: environment ?? self.environment)
      .run(shouldStop: { false })
  }

  func database(_ environment: Environment? = nil) throws -> Database {
    let environment = environment ?? self.environment
    return Database(
      try PageStore(path: path, environment: environment), executor: environment.executor)
  }

  func query(_ sql: String) throws -> [[SQLValue]] { try database().read { try $0.query(sql) } }

  /// The `n` of a writer's rows in the order in which they were inserted.
  func rows(of writer: Int) throws -> [Int64] {
    try query("SELECT n FROM t WHERE w = \(writer) ORDER BY id").map {
      if case .integer(let n) = $0[0] { n } else { -1 }
    }
  }

  /// What was rejected, in a failing test's words.
  func rejections() throws -> [[SQLValue]] {
    try query("SELECT sequence, code, message FROM _sluice_rejected LIMIT 3")
  }

  // MARK: Other stores

  /// Makes another store beside this one; returns its path.
  func makeAnother(_ name: String, _ environment: Environment = .posix()) throws(StoreError)
    -> String
  {
    let path = "\(directory)/\(name)"
    try StoreCreation().make(at: path, environment: environment)
    return path
  }

  func openAnother(_ name: String) throws(StoreError) -> PageStore {
    var environment = environment
    environment.clock = ImpatientClock()
    return try PageStore(path: "\(directory)/\(name)", environment: environment)
  }

  // MARK: Files

  /// Temporary files that somebody left behind.
  func leftovers() throws -> [String] {
    try [path, layout.log, layout.checkpoints, layout.journal].flatMap(names)
      .filter { $0.hasSuffix(".tmp") }
  }

  func names(_ directory: String) throws -> [String] {
    try environment.fileSystem.list(directory)
  }

  func journalSegments() throws -> [String] {
    try names(layout.journal).filter { StoreLayout.journalSegment($0) != nil }
  }

  func log() throws -> Log { Log(of: try StoreHandle(at: layout, environment)) }

  /// Who published last, and how far.
  func present() throws -> Log.Present { try log().present() }
}

/// An applier on a thread of this process.
final class ApplierThread: Sendable {
  private struct State {
    var shouldStop = false
    var end: Result<Void, StoreError>?
  }

  private let state = Monitor(State())

  init(_ store: TestStore, _ options: ApplierOptions, _ environment: Environment? = nil) throws {
    let path = store.path
    let environment = environment ?? store.environment
    startThread { [state] in
      let end = Result { () throws(StoreError) in
        try Applier(path: path, options: options, environment: environment)
          .run(shouldStop: { state.withLock { $0.shouldStop } })
      }
      state.withLock { $0.end = end }
      state.wakeAll()
    }
  }

  deinit { state.withLock { $0.shouldStop = true } }

  func stop() throws {
    state.withLock { $0.shouldStop = true }
    try state.wait { $0.end }.get()
  }
}

/// The system's clock, which never waits: for tests of errors that are given after long patience.
struct ImpatientClock: Clock {
  func wallTime_ms() -> Int64 { SystemClock().wallTime_ms() }
  func bootTime_ns() -> UInt64 { SystemClock().bootTime_ns() }
  func sleep(_ duration: Duration) {}
}
