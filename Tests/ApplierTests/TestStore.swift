import Foundation
import Logging
import SluiceApplier
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

/// A store in a directory of its own, verified and removed with this object.
final class TestStore: VerifiedStore {
  let path: String
  let teardown: StoreTeardown
  var environment = Environment.posix()
  var options: ApplierOptions

  init(_ creation: StoreCreation = StoreCreation(), at place: SourceLocation = #_sourceLocation)
    throws
  {
    path = NSTemporaryDirectory() + "sluice-test-\(UUID().uuidString)"
    options = ApplierOptions(holder: "test")
    options.logger.logLevel = .critical
    // What a test counts is what it has made.
    options.retention.keep = nil
    try creation.make(at: path, environment: environment)
    // The last: where no store was made, none is verified.
    teardown = StoreTeardown(at: place)
  }

  /// With the files of another one, which nobody uses meanwhile.
  init(copying other: TestStore, at place: SourceLocation = #_sourceLocation) throws {
    path = NSTemporaryDirectory() + "sluice-test-\(UUID().uuidString)"
    teardown = StoreTeardown(damaged: other.isDamagedOnPurpose, at: place)
    options = other.options
    let copying = try Process.run(
      URL(fileURLWithPath: "/bin/cp"), arguments: ["-a", "--sparse=always", other.path, path])
    copying.waitUntilExit()
    try #require(copying.terminationStatus == 0)
  }

  /// By how much everything may take longer than at full speed: `SLUICE_TEST_PATIENCE`, for sanitizers.
  static let patience =
    ProcessInfo.processInfo.environment["SLUICE_TEST_PATIENCE"].flatMap(Int.init) ?? 1

  deinit {
    teardown.verify(path)
    try? FileManager.default.removeItem(atPath: path)
  }

  var layout: StoreLayout { StoreLayout(path) }

  var handle: StoreHandle { get throws { try StoreHandle(at: layout, environment) } }

  func writer() throws -> Writer { try Writer(store: path, environment: environment) }

  /// A writer's journal alone, under an id of its own.
  func journal(_ environment: Environment? = nil) throws -> JournalWriter {
    JournalWriter(
      to: StoreHandle(
        layout: layout, id: try handle.id, environment: environment ?? self.environment))
  }

  /// Applies all that is in the journal, in this process, and releases.
  func drain() throws {
    var options = options
    options.drains = true
    try Applier(path: path, options: options, environment: environment).run(shouldStop: { false })
  }

  /// Submits, applies, and returns the outcomes.
  @discardableResult
  func apply(_ batches: [Batch]) throws -> [Outcome] {
    let writer = try writer()
    let receipts = try batches.map { try writer.submitBlocking($0) }
    try drain()
    let outcomes = try receipts.map {
      try writer.outcomeBlocking(of: $0, timeout: .seconds(60)).outcome
    }
    writer.closeBlocking()
    return outcomes
  }

  @discardableResult
  func apply(_ statements: String...) throws -> Outcome {
    try apply([Batch(statements.map { Batch.Statement($0) })])[0]
  }

  func query(_ sql: String) throws -> [[SQLValue]] {
    try Database(PageStore(path: path, environment: environment), executor: environment.executor)
      .read { try $0.query(sql) }
  }

  /// What is published now.
  func present() throws -> Log.Present { try Log(of: handle).present() }

  func names(_ directory: String) throws -> [String] {
    try environment.fileSystem.list(directory)
  }
}

/// As if `txid` was published, where a test has no log.
func planted(_ txid: TxID) throws -> PublishedTxID {
  var environment = Environment.posix()
  environment.omittedChecks = [.removeOnlyPublished]
  return try #require(PublishedTxID(txid, without: .removeOnlyPublished, in: environment))
}

extension Outcome {
  var rejectionCode: String? {
    if case .rejected(let rejection) = self { rejection.code } else { nil }
  }
  var isApplied: Bool { if case .applied = self { true } else { false } }
}
