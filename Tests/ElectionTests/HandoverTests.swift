import Foundation
import Glibc
import SluiceJournal
import SluiceShared
import Testing

/// Whole processes, with a proxy before each that counts what arrives.
@Suite("An applier that an item elects is followed by the next one", .serialized)
struct HandoverTests {
  let peers: Peers
  init() throws { peers = try Peers.shared.get() }

  @Test(
    "SIGTERM: the standby applies at once, and asks for nothing but the item",
    arguments: Peer.allCases)
  func terminated(peer: Peer) async throws {
    try await onThread {
      let store = try ElectedStore(peers, peer)
      let proxies = try (0..<2).map { _ in try FaultProxy(peers, to: peer) }
      let ttl = 30
      let leader = try store.startApplier("first", ttl: ttl, through: proxies[0])
      try store.waitForLeader("first")
      let standby = try store.startApplier("second", ttl: ttl, through: proxies[1])
      try wait("the standby looks") { try !proxies[1].seen().isEmpty }
      _ = try store.apply("INSERT INTO t VALUES (1)", atMost: .seconds(30))
      let started = SystemClock().elapsed()
      leader.signal(SIGTERM)
      try store.waitForLeader("second")
      _ = try store.apply("INSERT INTO t VALUES (2)", atMost: .seconds(30))
      let took = SystemClock().elapsed() - started
      print("\(peer): from SIGTERM to the next outcome \(took)")
      // Nobody waited for the lease to run out.
      #expect(took < .seconds(ttl / 3), "\(took)")
      #expect(try leader.end() == 0)
      #expect(leader.errorsSoFar.contains("released"))
      #expect(try store.item()?["holder"]?["S"]?.string?.hasPrefix("second ") == true)
      #expect(try store.item()?["term"]?["N"]?.string == "2")
      standby.signal(SIGTERM)
      #expect(try standby.end() == 0)
      #expect(try store.item()?["state"]?["S"]?.string == "released")
    }
  }

  @Test(
    "SIGKILL: the outcome of a new batch comes within the lease and two seconds",
    arguments: Peer.allCases)
  func killed(peer: Peer) async throws {
    try await onThread {
      let store = try ElectedStore(peers, peer)
      let ttl = 10
      let leader = try store.startApplier("first", ttl: ttl)
      try store.waitForLeader("first")
      let proxy = try FaultProxy(peers, to: peer)
      let standby = try store.startApplier("second", ttl: ttl, through: proxy)
      try wait("the standby looks") { try !proxy.seen().isEmpty }
      _ = try store.apply("INSERT INTO t VALUES (1)", atMost: .seconds(30))
      leader.signal(SIGKILL)
      let took = try store.apply("INSERT INTO t VALUES (2)", atMost: .seconds(60))
      print("\(peer): from SIGKILL to the next outcome \(took)")
      // Two seconds beyond the lease, on a machine that is not busy; a second lease would be over at 20.
      #expect(took < .seconds(ttl + 2 + 3 * patience), "\(took)")
      #expect(try store.holder() == "second")
      #expect(try store.item()?["term"]?["N"]?.string == "2")
      standby.signal(SIGTERM)
      #expect(try standby.end() == 0)
    }
  }

  @Test("SIGSTOP past the lease: the other leads, and who wakes up confirms nothing more")
  func paused() async throws {
    try await onThread {
      let store = try ElectedStore(peers, .ministack)
      let leader = try store.startApplier("first", ttl: 5)
      try store.waitForLeader("first")
      let standby = try store.startApplier("second", ttl: 5)
      try wait("a standby") { standby.errorsSoFar.contains("standing by") }
      _ = try store.apply("INSERT INTO t VALUES (1)", atMost: .seconds(30))
      leader.signal(SIGSTOP)
      try store.waitForLeader("second")
      _ = try store.apply("INSERT INTO t VALUES (2)", atMost: .seconds(30))
      let spans = try store.spans(of: "first")
      leader.signal(SIGCONT)
      for n in 3...6 {
        _ = try store.apply("INSERT INTO t VALUES (\(n))", atMost: .seconds(30))
      }
      try wait("it stands back") { leader.errorsSoFar.contains("no longer leading") }
      #expect(try store.spans(of: "first") == spans)
      #expect(try store.holder() == "second")
      #expect(try store.item()?["holder"]?["S"]?.string?.hasPrefix("second ") == true)
      // And it is there when it is needed.
      standby.signal(SIGKILL)
      try store.waitForLeader("first")
      _ = try store.apply("INSERT INTO t VALUES (7)", atMost: .seconds(30))
      leader.signal(SIGTERM)
      #expect(try leader.end() == 0)
    }
  }

  @Test(
    "A leader sends one request a renewal and none a batch; a standby looks once a second",
    arguments: Peer.allCases)
  func requests(peer: Peer) async throws {
    try await onThread {
      let store = try ElectedStore(peers, peer)
      let proxies = try (0..<2).map { _ in try FaultProxy(peers, to: peer) }
      let ttl = 5.0
      let leader = try store.startApplier("first", ttl: Int(ttl), through: proxies[0])
      try store.waitForLeader("first")
      let standby = try store.startApplier("second", ttl: Int(ttl), through: proxies[1])
      try wait("the standby looks") { try !proxies[1].seen().isEmpty }
      let started = SystemClock().elapsed()
      var batches = 0
      while SystemClock().elapsed() - started < .seconds(8) {
        _ = try store.apply("INSERT INTO t VALUES (1)", atMost: .seconds(30))
        batches += 1
      }
      let leads = try proxies[0].seen()
      let looks = try proxies[1].seen()
      // First a look and the taking.
      #expect(leads.prefix(2).map(\.operation) == ["GetItem", "PutItem"])
      let renewals = leads.dropFirst(2)
      #expect(renewals.allSatisfy { $0.operation == "UpdateItem" })
      #expect(renewals.count >= 3 && batches > renewals.count)
      #expect(looks.allSatisfy { $0.operation == "GetItem" })
      for (seen, least) in [(Array(renewals), ttl / 5), (looks, 1)] {
        // What arrives can be a little closer than what was sent.
        let span = (seen.last?.at ?? 0) - (seen.first?.at ?? 0)
        #expect(Double(seen.count - 1) <= span / least + 1.5, "\(seen.count) in \(span) s")
      }
      leader.signal(SIGTERM)
      standby.signal(SIGTERM)
      #expect(try leader.end() == 0)
      #expect(try standby.end() == 0)
    }
  }

  @Test("Who gets no answers stands back by its own clock before anybody else leads")
  func unanswered() async throws {
    try await onThread {
      let store = try ElectedStore(peers, .ministack)
      let proxy = try FaultProxy(peers, to: .ministack)
      let ttl = 10
      let leader = try store.startApplier("first", ttl: ttl, through: proxy)
      try store.waitForLeader("first")
      // Some are lost or throttled: nothing comes of that.
      try proxy.inject("drop", "UpdateItem", times: 2)
      _ = try store.apply("INSERT INTO t VALUES (1)", atMost: .seconds(30))
      let before = try proxy.seen().count
      try wait("renewals", atMost: 60) { try proxy.seen().count > before + 3 }
      try proxy.inject("status", "UpdateItem", times: 2, status: 503)
      try wait("renewals", atMost: 60) { try proxy.seen().count > before + 8 }
      #expect(try store.holder() == "first")
      #expect(leader.errorsSoFar.contains("the lock table answers again"))
      let standby = try store.startApplier("second", ttl: ttl)
      try wait("a standby") { standby.errorsSoFar.contains("standing by") }
      try proxy.inject("hang", "", times: -1, seconds: 60)
      // Commits do not wait for it.
      let took = try store.apply("INSERT INTO t VALUES (2)", atMost: .seconds(30))
      #expect(took < .seconds(ttl / 2))
      try store.waitForLeader("second")
      let spans = try store.spans(of: "first")
      try wait("its word") { standby.time(of: "leading") != nil }
      try wait("it stands back") { leader.time(of: "no longer leading") != nil }
      let stoodBack = try #require(leader.time(of: "no longer leading"))
      let led = try #require(standby.time(of: "leading"))
      // Who stalls may say so late, and has committed nothing meanwhile.
      let isOver = try store.spans(of: "first") == spans
      #expect(stoodBack <= led || isOver)
      #expect(leader.errorsSoFar.contains("does not answer in time"))
      leader.signal(SIGKILL)
      standby.signal(SIGTERM)
      #expect(try standby.end() == 0)
    }
  }

  @Test(
    "Who finds that another wrote the item stands back, and waits like everybody else",
    arguments: Peer.allCases)
  func stolen(peer: Peer) async throws {
    try await onThread {
      let store = try ElectedStore(peers, peer)
      let applier = try store.startApplier("first", ttl: 5)
      try store.waitForLeader("first")
      try peers.tamper(
        peer, store.table, store.id,
        ["holder": ["S": "boto3"], "term": ["N": "7"], "lock_id": ["S": "stolen"]])
      try wait("it stands back") { applier.errorsSoFar.contains("no longer leading") }
      #expect(applier.errorsSoFar.contains("lease lost"))
      // The thief says nothing more.
      _ = try store.apply("INSERT INTO t VALUES (1)", atMost: .seconds(30))
      #expect(try store.item()?["term"]?["N"]?.string == "8")
      // The item is gone: it is made anew.
      try peers.boto(
        peer, "delete_item",
        ["TableName": store.table, "Key": ["pk": ["S": "sluice#\(store.id)"]]])
      try wait("the item") { try store.item()?["state"]?["S"]?.string == "active" }
      _ = try store.apply("INSERT INTO t VALUES (2)", atMost: .seconds(30))
      applier.signal(SIGTERM)
      #expect(try applier.end() == 0)
    }
  }

  @Test("What somebody has to change ends an applier that was just started, with the reason")
  func refused() async throws {
    try await onThread {
      let store = try ElectedStore(peers, .ministack)
      for (changes, words) in [
        (["AWS_REGION": "eu-west-3"], "is not in eu-west-3"),
        (["AWS_SECRET_ACCESS_KEY": "wrong"], "the signature is refused"),
        (["AWS_REGION": ""], "no AWS region"),
        (["AWS_SECRET_ACCESS_KEY": ""], "only one of AWS_ACCESS_KEY_ID"),
      ] {
        let applier = try store.startApplier("first", ttl: 2, changes)
        #expect(try applier.end() != 0)
        let last = applier.errorsSoFar.split(separator: "\n").last ?? ""
        #expect(last.hasPrefix("sluice: ") && last.contains(words), "\(last)")
      }
      // What may pass is waited for.
      let proxy = try FaultProxy(peers, to: .ministack)
      try proxy.inject("status", "GetItem", times: 3, status: 500)
      let applier = try store.startApplier("first", ttl: 2, through: proxy)
      try store.waitForLeader("first")
      applier.signal(SIGTERM)
      #expect(try applier.end() == 0)
    }
  }

  @Test("Another kind of lease is given to a store while nobody leads, and appliers follow")
  func changed() async throws {
    try await onThread {
      let store = try ElectedStore(peers, .ministack)
      func config(_ kind: String) throws -> Process {
        let config = try Process(Place.sluice, ["config", store.path, "--lease", kind])
        try config.end()
        return config
      }
      let leader = try store.startApplier("first", ttl: 2)
      try store.waitForLeader("first")
      let refused = try config("file")
      #expect(refused.code == 75)
      #expect(refused.errorsSoFar.contains("an applier leads this store"))
      leader.signal(SIGTERM)
      #expect(try leader.end() == 0)
      #expect(try config("file").outputSoFar == "lease file, before dynamodb:\(store.table)\n")
      #expect(try config("file").code == 0)
      // By the file alone: no DynamoDB answers.
      let other = try store.startApplier("second", ttl: 2, ["AWS_REGION": ""])
      _ = try store.apply("INSERT INTO t VALUES (1)", atMost: .seconds(30))
      let status = try Process(Place.sluice, ["status", store.path, "--json"])
      try status.end()
      #expect(try JSON.parse(status.outputSoFar)["lease"]?.string == "file")
      other.signal(SIGTERM)
      #expect(try other.end() == 0)
      // One that stands by meanwhile, by the old kind, goes on by the new one: it is stopped, so that
      // it claims nothing before.
      let standby = try store.startApplier("third", ttl: 2)
      try store.waitForLeader("third")
      standby.signal(SIGSTOP)
      #expect(try config("dynamodb:\(store.table)").code == 0)
      standby.signal(SIGCONT)
      _ = try store.apply("INSERT INTO t VALUES (2)", atMost: .seconds(30))
      #expect(standby.errorsSoFar.contains("lease was changed from file to dynamodb:"))
      #expect(try store.item()?["state"]?["S"]?.string == "active")
      standby.signal(SIGTERM)
      #expect(try standby.end() == 0)
    }
  }
}

extension ElectedStore {
  /// Which segments of an applier are in the history, and how much of each.
  fileprivate func spans(of holder: String) throws -> [UInt64: Int64] {
    let log = try log()
    var spans: [UInt64: Int64] = [:]
    for span in try log.history(after: .zero, upTo: try log.present())
    where span.segment.header.holder == holder {
      spans[span.segment.number] = span.end
    }
    return spans
  }
}
