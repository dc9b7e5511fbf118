import Foundation
import Glibc
import SluiceJournal
import SluiceShared
import Testing

/// What `apply --metrics` shows, read by Prometheus' own client.
@Suite("An applier shows what it measures, and whoever asks costs it nothing", .serialized)
struct MetricsTests {
  let peers: Peers
  init() throws { peers = try Peers.shared.get() }

  private struct Sample {
    var name: String
    var type: String
    var help: String
    var labels: [String: JSON]
    var value: Double
  }

  private struct Scrape {
    var status: Int64
    var type: String?
    var samples: [Sample]

    func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
      samples.first { sample in
        sample.name == name && labels.allSatisfy { sample.labels[$0.key]?.string == $0.value }
      }?.value
    }
  }

  private func scrape(_ port: Int, _ path: String = "/metrics", _ method: String = "GET") throws
    -> Scrape
  {
    let answer = try peers.ask("scrape", ["port": port, "path": path, "method": method])
    var samples: [Sample] = []
    if case .array(let found)? = answer["samples"] {
      samples = try found.map { sample in
        guard case .object(let labels)? = sample["labels"] else { throw Missing() }
        return Sample(
          name: try #require(sample["name"]?.string), type: try #require(sample["type"]?.string),
          help: try #require(sample["help"]?.string), labels: labels,
          value: try #require(sample["value"]?.string.flatMap(Double.init)))
      }
    }
    return Scrape(
      status: try #require(answer["status"]?.integer), type: answer["type"]?.string,
      samples: samples)
  }

  private struct Missing: Error {}

  /// The port that the applier says it listens at.
  private func port(_ applier: Process) throws -> Int {
    var port: Int?
    try wait("the metrics' port: \(applier.errorsSoFar)") {
      // A line that is not whole yet may have half of a number.
      let whole = applier.errorsSoFar.reversed().drop { $0 != "\n" }.reversed()
      let line = String(whole).split(separator: "\n")
        .first { $0.contains("metrics are shown") }
      port = line?.split(separator: "=").last.flatMap {
        Int($0.trimmingCharacters(in: ["\"", " "]))
      }
      return port != nil
    }
    return try #require(port)
  }

  @Test("Counts, levels and distributions of a leader on DynamoDB, and of a standby")
  func measured() async throws {
    try await onThread {
      let store = try ElectedStore(peers, .ministack)
      let leader = try store.startApplier("first", ttl: 5, arguments: ["--metrics", "127.0.0.1:0"])
      try store.waitForLeader("first")
      let standby = try store.startApplier("second", ttl: 5, arguments: ["--metrics", "[::1]:0"])
      for n in 1...5 {
        _ = try store.apply("INSERT INTO t VALUES (\(n))", atMost: .seconds(30))
      }
      let port = try port(leader)
      let label = ["store": store.path]
      var scrape = try scrape(port)
      try wait("what was published") {
        scrape = try self.scrape(port)
        return scrape.value("sluice_txid", label) == 6
      }
      #expect(scrape.status == 200 && scrape.type == "text/plain; version=0.0.4; charset=utf-8")
      #expect(scrape.samples.allSatisfy { !$0.help.isEmpty })
      #expect(scrape.value("sluice_leading", label) == 1)
      #expect(scrape.value("sluice_terms_total", label) == 1)
      #expect(scrape.value("sluice_commit_seconds_count", label).map { $0 >= 1 } == true)
      #expect(scrape.value("sluice_commit_batches_sum", label) == 6)
      #expect(scrape.value("sluice_commit_bytes_sum", label).map { $0 > 0 } == true)
      #expect(scrape.value("sluice_rejected_batches", label) == 0)
      for operation in ["read", "put", "update"] {
        let name = "sluice_lock_table_requests_total"
        try wait("a request: \(operation)") {
          try self.scrape(port).value(name, ["operation": operation]).map { $0 >= 1 } == true
        }
      }
      let writes = scrape.value("sluice_file_operations_total", ["operation": "write"])
      #expect(writes.map { $0 > 5 } == true)
      try wait("the age of the lease") {
        try self.scrape(port).value("sluice_lease_age_seconds", label).map { $0 > 0 && $0 < 5 }
          == true
      }
      _ = try self.port(standby)
      // Nothing else is there, and nothing can be changed.
      #expect(try self.scrape(port, "/").status == 404)
      #expect(try self.scrape(port, "/metrics", "DELETE").status == 405)
      #expect(try self.scrape(port, "/metrics", "HEAD").samples.isEmpty)
      leader.signal(SIGTERM)
      standby.signal(SIGTERM)
      #expect(try leader.end() == 0)
      #expect(try standby.end() == 0)
    }
  }

  /// Only that process reads tables.
  @Test("What the process that executes batches asks of the file server is counted, too")
  func read() async throws {
    try await onThread {
      let store = try ElectedStore(peers, .ministack)
      func leading(_ body: (Process) throws -> Void) throws {
        let leader = try store.startApplier(
          "first", ttl: 5, arguments: ["--metrics", "127.0.0.1:0"])
        _ = try store.apply("INSERT INTO t VALUES (0)", atMost: .seconds(30))
        try body(leader)
        leader.signal(SIGTERM)
        #expect(try leader.end() == 0)
      }
      try leading { _ in
        _ = try store.apply(
          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) INSERT INTO t SELECT randomblob(3000) FROM n",
          atMost: .seconds(60))
      }
      try leading { leader in
        let port = try port(leader)
        func reads() throws -> Double {
          try scrape(port).value("sluice_file_operations_total", ["operation": "read"]) ?? 0
        }
        let before = try reads()
        _ = try store.apply("DELETE FROM t WHERE a < 0", atMost: .seconds(60))
        let after = try reads()
        print("a scan of 4,000 pages: \(after - before) reads")
        #expect(after - before > 200)
      }
    }
  }

  @Test("Who sends garbage, or never finishes, holds up neither the applier nor others for long")
  func pestered() async throws {
    try await onThread {
      let store = try ElectedStore(peers, .ministack)
      let applier = try store.startApplier(
        "first", ttl: 5, arguments: ["--metrics", "127.0.0.1:0"])
      try store.waitForLeader("first")
      let port = try port(applier)
      try peers.ask("pester", ["port": port, "times": 18])
      #expect(try scrape(port).status == 200)
      // More than the server has room for.
      try peers.ask("pester", ["port": port, "times": 100])
      for n in 1...5 {
        let took = try store.apply("INSERT INTO t VALUES (\(n))", atMost: .seconds(30))
        #expect(took < .seconds(5 * patience))
      }
      try wait("an answer", atMost: 60) { try scrape(port).status == 200 }
      #expect(try scrape(port).value("sluice_terms_total") == 1)
      applier.signal(SIGTERM)
      #expect(try applier.end() == 0)
    }
  }

  @Test("Lines for CloudWatch, the last one at the end")
  func lines() async throws {
    try await onThread {
      let store = try ElectedStore(peers, .ministack)
      let applier = try store.startApplier("first", ttl: 5, arguments: ["--metrics-lines", "1"])
      try store.waitForLeader("first")
      _ = try store.apply("INSERT INTO t VALUES (1)", atMost: .seconds(30))
      try wait("a line") { applier.outputSoFar.contains("sluice_commit_seconds_mean") }
      applier.signal(SIGTERM)
      #expect(try applier.end() == 0)
      var terms: Int64 = 0
      for line in applier.outputSoFar.split(separator: "\n") {
        let json = try JSON.parse(String(line))
        #expect(json["_aws"]?["Timestamp"]?.integer != nil)
        if case .real(let count)? = json["sluice_terms_total"] { terms += Int64(count) }
      }
      #expect(terms == 1)
      let last = applier.outputSoFar.split(separator: "\n").last { $0.contains("sluice_leading") }
      #expect(last?.contains("\"sluice_leading\": 0.0") == true)
    }
  }

  @Test("An address that is none, or is taken, ends it before anything is claimed")
  func refused() async throws {
    try await onThread {
      let store = try ElectedStore(peers, .ministack)
      for address in ["9464", "localhost:9464", "::1:9464", "127.0.0.1:99999"] {
        let applier = try store.startApplier("first", ttl: 5, arguments: ["--metrics", address])
        let code = try applier.end()
        #expect(code == 64 || code == 74, "\(address)")
        #expect(applier.errorsSoFar.contains("metrics"), "\(applier.errorsSoFar)")
      }
      let first = try store.startApplier("first", ttl: 5, arguments: ["--metrics", "127.0.0.1:0"])
      let port = try port(first)
      let second = try store.startApplier(
        "second", ttl: 5, arguments: ["--metrics", "127.0.0.1:\(port)"])
      #expect(try second.end() == 74)
      #expect(second.errorsSoFar.contains("Address already in use"), "\(second.errorsSoFar)")
      first.signal(SIGTERM)
      #expect(try first.end() == 0)
    }
  }
}
