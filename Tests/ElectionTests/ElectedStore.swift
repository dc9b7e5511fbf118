import Foundation
import Glibc
import SluiceJournal
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

/// A store whose applier is elected by an item in a peer's table; verified and removed with this object.
final class ElectedStore: VerifiedStore, Sendable {
  let path: String
  let peers: Peers
  let peer: Peer
  let table: String
  let id: StoreID
  let teardown: StoreTeardown

  init(_ peers: Peers, _ peer: Peer, at place: SourceLocation = #_sourceLocation) throws {
    teardown = StoreTeardown(at: place)
    self.peers = peers
    self.peer = peer
    table = try peers.table(on: peer)
    path = "\(Place.scratch)/store-\(UUID().uuidString.prefix(8))"
    let made = try Process(Place.sluice, ["init", path, "--lease", "dynamodb:\(table)"])
    #expect(try made.end() == 0, "\(made.errorsSoFar)")
    id = try StoreDescription.read(StoreLayout(path), PosixFileSystem()).id
    try submit("CREATE TABLE t(a)")
  }

  deinit {
    teardown.verify(path)
    try? FileManager.default.removeItem(atPath: path)
  }

  /// `sluice apply`, through a proxy of its own where it has one.
  func startApplier(
    _ name: String, ttl: Int, through proxy: FaultProxy? = nil, _ changes: [String: String] = [:],
    arguments: [String] = []
  ) throws -> Process {
    let variables = peers.variables(peer, through: proxy?.port).merging(changes) { $1 }
    return try Process(
      Place.sluice,
      ["apply", path, "--ttl", "\(ttl)", "--holder", name, "--log-level", "debug"] + arguments,
      variables)
  }

  /// Makes a batch durable, and waits for nothing.
  func submit(_ sql: String) throws {
    let writer = try Writer(store: path)
    _ = try writer.submitBlocking(Batch([Batch.Statement(sql)]))
    writer.closeBlocking()
  }

  /// Submits a batch, and waits until it is applied; how long that took.
  func apply(_ sql: String, atMost limit: Duration) throws -> Duration {
    try timeToApply(sql, to: path, atMost: limit)
  }

  func log() throws -> Log {
    Log(of: StoreHandle(layout: StoreLayout(path), id: id, environment: .posix()))
  }

  /// Who published last.
  func holder() throws -> String { try log().present().segment.header.holder }

  func item() throws -> JSON? { try peers.item(peer, table, id) }

  func waitForLeader(_ name: String, atMost seconds: Int = 30) throws {
    try wait("\(name) leads", atMost: seconds) { try holder() == name }
  }
}

/// By how much everything may take longer here than at full speed: `SLUICE_TEST_PATIENCE`.
let patience =
  getenv("SLUICE_TEST_PATIENCE").flatMap { Int(String(cString: $0)) }.map { max(1, $0) } ?? 1

extension Process {
  /// When it logged `words` first, as its line says.
  func time(of words: String) -> String? {
    errorsSoFar.split(separator: "\n").first { $0.contains(words) }
      .flatMap { $0.split(separator: " ").first }.map(String.init)
  }
}

/// Submits a batch to the store at `path`, and waits until it is applied; how long that took.
func timeToApply(_ sql: String, to path: String, atMost limit: Duration) throws -> Duration {
  let writer = try Writer(store: path)
  defer { writer.closeBlocking() }
  let started = SystemClock().elapsed()
  let receipt = try writer.submitBlocking(Batch([Batch.Statement(sql)]))
  let outcome = try writer.outcomeBlocking(of: receipt, timeout: limit).outcome
  let isApplied = if case .applied = outcome { true } else { false }
  #expect(isApplied, "\(sql): \(outcome)")
  return SystemClock().elapsed() - started
}
