import Foundation
import Glibc
import Logging
import SluiceApplier
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@Suite("Worker processes alone elect each other by an item, too", .serialized)
struct ElectedAssistTests {
  let peers: Peers
  init() throws { peers = try Peers.shared.get() }

  @Test("50 short-lived workers: every batch once, few segments, at most one claim a second")
  func workers() async throws {
    try await onThread {
      let store = try ElectedStore(peers, .ministack)
      let proxy = try FaultProxy(peers, to: .ministack)
      let variables = peers.variables(.ministack, through: proxy.port)
      let workers = try (0..<50).map { n in
        try Process(
          Place.sluice,
          [
            "submit", store.path, "INSERT INTO t VALUES (?)", "\(n)", "--assist", "--timeout",
            "\(60 * patience)",
          ], variables)
      }
      for process in workers {
        try process.end(atMost: 90 * patience)
        #expect(process.code == 0, "\(process.errorsSoFar)")
        #expect(process.outputSoFar.hasPrefix("applied "), "\(process.outputSoFar)")
      }
      let query = try Process(
        Place.sluice, ["query", store.path, "SELECT count(*), count(DISTINCT a) FROM t", "--csv"])
      try query.end()
      #expect(query.outputSoFar.split(whereSeparator: \.isNewline).last == "50,50")

      let log = try store.log()
      let claims = try log.listed().sorted().dropFirst().compactMap { number -> Int64? in
        guard let segment = try log.open(number), try segment.control().beacon != nil else {
          return nil
        }
        return segment.header.created_ms
      }
      #expect((1...25).contains(claims.count), "\(claims.count) segments for 50 batches")
      for (before, after) in zip(claims, claims.dropFirst()) {
        #expect(after - before >= 998, "claims \(after - before) ms apart")
      }
      #expect(try store.item()?["state"]?["S"]?.string == "released")
      // One that took the item may have lost the log.
      let term = try store.item()?["term"]?["N"]?.string.flatMap(Int.init) ?? 0
      #expect((claims.count...claims.count + 3).contains(term), "\(term) of \(claims.count)")
      // Who sees another lead asks DynamoDB nothing.
      let seen = try proxy.seen()
      let puts = seen.filter { $0.operation == "PutItem" }.count
      // Each tries once, and again only where an answer is late.
      #expect(puts < claims.count + 2 * 50, "\(puts) tries to take the item")
    }
  }
  /// This process's own settings: a profile, since its environment is to change once only, while other tests run.
  private static let profile: String = {
    let path = "\(Place.scratch)/config"
    for name in ProcessInfo.processInfo.environment.keys where name.hasPrefix("AWS_") {
      unsetenv(name)
    }
    setenv("AWS_CONFIG_FILE", path, 1)
    setenv("AWS_SHARED_CREDENTIALS_FILE", "\(path)-none", 1)
    return path
  }()

  private func configure(_ peer: Peer, through proxy: FaultProxy) throws {
    let user = peers.user.withLock { $0 }
    let text = """
      [default]
      region = \(Peers.region)
      endpoint_url = http://127.0.0.1:\(proxy.port)
      aws_access_key_id = \(user.keyID)
      aws_secret_access_key = \(user.secret)
      """
    try text.write(toFile: Self.profile, atomically: true, encoding: .utf8)
  }

  @Test(
    "In one program tasks share an assistant and its terms, and the item is given back",
    arguments: Peer.allCases)
  func tasks(peer: Peer) async throws {
    let (store, proxy) = try await onThread {
      (try ElectedStore(peers, peer), try FaultProxy(peers, to: peer))
    }
    try configure(peer, through: proxy)
    let assistant = assistant(of: store)
    let writer = try Writer(store: store.path)
    let batches = 40
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for n in 0..<batches {
        group.addTask {
          let receipt = try await writer.submit(Self.row(n))
          return try await writer.outcome(
            of: receipt, timeout: .seconds(60 * patience), assistedBy: assistant
          ).outcome.isApplied
        }
      }
      for try await isApplied in group { #expect(isApplied) }
    }
    try await onThread {
      let puts = try puts(proxy)
      #expect(puts > 0 && puts < batches / 4, "\(puts) tries to take the item for \(batches)")
      #expect(try store.item()?["state"]?["S"]?.string == "released")
      let receipt = try writer.submitBlocking(Self.row(batches))
      let outcome = try writer.outcomeBlocking(
        of: receipt, timeout: .seconds(60 * patience), assistedBy: assistant)
      #expect(outcome.outcome.isApplied && assistant.trouble == nil)
      #expect(try self.puts(proxy) > puts)
      writer.closeBlocking()
      let item = try store.item()
      #expect(item?["state"]?["S"]?.string == "released")
      #expect(item?["holder"]?["S"]?.string?.hasPrefix("assistant ") == true)
      #expect(try store.holder() == "assistant")
    }
  }

  private static func row(_ n: Int) -> Batch {
    Batch([Batch.Statement("INSERT INTO t VALUES (?)", [.integer(Int64(n))])])
  }

  private func assistant(of store: ElectedStore) -> Assistant {
    var options = ApplierOptions(holder: "assistant")
    options.logger.logLevel = .critical
    return Assistant(store: store.path, options: options)
  }

  private func puts(_ proxy: FaultProxy) throws -> Int {
    try proxy.seen().count { $0.operation == "PutItem" }
  }
}

extension Outcome {
  fileprivate var isApplied: Bool { if case .applied = self { true } else { false } }
}
