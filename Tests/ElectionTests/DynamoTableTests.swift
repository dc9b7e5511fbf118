import Foundation
import SluiceDynamoDB
import SluiceLease
import SluiceShared
import Testing

@testable import SluiceDynamoDB

/// The table as the lease sees it, on two implementations, with boto3 looking on.
@Suite("DynamoDB does what the lease asks, and says what is wrong", .serialized)
struct DynamoTableTests {
  let peers: Peers
  init() throws { peers = try Peers.shared.get() }

  private let store = StoreID(high: UInt64.random(in: 1 ... .max), low: 1)

  private func table(
    _ peer: Peer, _ name: String, through port: Int? = nil, _ changes: [String: String] = [:],
    isBeside: Bool
  ) throws -> any LockTable {
    let variables = peers.variables(peer, through: port).merging(changes) { $1 }
    let settings = try Settings(variables) { _ in nil }
    let service = try DynamoService(
      settings, client: CurlClient(certificates: nil), metadata: CurlClient(certificates: nil),
      .posix())
    let table = DynamoTable(table: name, store: store, service, SystemClock())
    return isBeside ? Beside(table: table) : table
  }

  /// As who has many stores asks: nobody waits, here but for the answer.
  private struct Beside: LockTable {
    let table: DynamoTable
    func perform(_ request: LockRequest, atMost limit: Duration) -> Result<LockAnswer, LockFailure>
    {
      let answer = Monitor<Result<LockAnswer, LockFailure>?>(nil)
      let isStarted = table.start(request, atMost: limit) { result in
        answer.withLock {
          #expect($0 == nil)
          $0 = result
        }
        answer.wakeAll()
      }
      return isStarted ? answer.wait { $0 } : table.perform(request, atMost: limit)
    }
  }

  private func item(_ lock: String, _ holder: String = "a", term: Int64 = 1) -> LockItem {
    LockItem(
      lockID: lock, holder: holder, term: term, lease: .seconds(10), state: .active,
      expires_s: 1_795_885_462)
  }

  private func answer(_ table: any LockTable, _ request: LockRequest) throws -> LockAnswer {
    try table.perform(request, atMost: .seconds(5)).get()
  }

  private func isWritten(_ answer: LockAnswer) -> Bool {
    if case .written = answer { true } else { false }
  }

  private func refusing(_ answer: LockAnswer) throws -> LockItem? {
    guard case .refused(let item) = answer else {
      Issue.record("it was not refused")
      return nil
    }
    return item
  }

  @Test(
    "Each request does under its condition what it says, and else shows what is there",
    arguments: Peer.allCases, [false, true])
  func conditions(peer: Peer, isBeside: Bool) async throws {
    try await onThread {
      let name = try peers.table(on: peer)
      let table = try table(peer, name, isBeside: isBeside)
      guard case .item(nil) = try answer(table, .read) else {
        Issue.record("an item before there is one")
        return
      }
      #expect(isWritten(try answer(table, .put(item("1"), if: .absent))))
      #expect(try refusing(answer(table, .put(item("2", "b"), if: .absent))) == item("1"))
      // As an independent client sees it.
      let seen = try peers.item(peer, name, store)
      #expect(seen?["pk"]?["S"]?.string == "sluice#\(store)")
      #expect(seen?["lock_id"]?["S"]?.string == "1")
      #expect(seen?["expires_at"]?["N"]?.string == "1795885462")
      #expect(seen?["holder"]?["S"]?.string == "a")
      #expect(seen?["term"]?["N"]?.string == "1")
      #expect(seen?["lease_ms"]?["N"]?.string == "10000")
      #expect(seen?["state"]?["S"]?.string == "active")
      // A beat, which the term is asked for and not the lock id.
      let held = LockCondition.held(holder: "a", term: 1)
      #expect(isWritten(try answer(table, .update(item("3"), if: held))))
      let other = LockCondition.held(holder: "a", term: 2)
      #expect(try refusing(answer(table, .update(item("4"), if: other))) == item("3"))
      // Stolen only where nobody wrote.
      let thief = item("5", "b", term: 2)
      #expect(try refusing(answer(table, .put(thief, if: .unchanged(lockID: "1")))) == item("3"))
      #expect(isWritten(try answer(table, .put(thief, if: .unchanged(lockID: "3")))))
      #expect(try refusing(answer(table, .update(item("6"), if: held))) == thief)
      // Released: nobody holds it, and a late beat does not bring it back.
      var released = item("7", "b", term: 2)
      released.state = .released
      let thiefs = LockCondition.held(holder: "b", term: 2)
      #expect(isWritten(try answer(table, .update(released, if: thiefs))))
      #expect(try refusing(answer(table, .update(item("8", "b", term: 2), if: thiefs))) == released)
      guard case .item(released) = try answer(table, .read) else {
        Issue.record("the item is not as it was released")
        return
      }
      // The lock of the other scheme is as it was.
      let scan = try peers.boto(peer, "scan", ["TableName": name])
      #expect(scan["Count"]?.integer == 2)
    }
  }

  @Test(
    "An item that somebody else wrote is taken for what it says, and can be replaced",
    arguments: Peer.allCases, [false, true])
  func strange(peer: Peer, isBeside: Bool) async throws {
    try await onThread {
      let name = try peers.table(on: peer)
      let table = try table(peer, name, isBeside: isBeside)
      // Only a key; then as the usual scheme writes it; then of wrong types.
      for attributes in [
        [:], ["lock_id": ["S": "x"], "expires_at": ["N": "1795885462.25"]],
        [
          "lock_id": ["N": "1"], "holder": ["BOOL": true], "term": ["S": "?"],
          "lease_ms": ["N": "1E+30"], "state": ["S": "?"],
        ],
      ] as [[String: Any]] {
        var item = attributes
        item["pk"] = ["S": DynamoTable.key(store)]
        try peers.boto(peer, "put_item", ["TableName": name, "Item": item])
        guard case .item(let found?) = try answer(table, .read) else {
          Issue.record("the item is not there")
          return
        }
        #expect(found.state == .active && found.term == 0 && found.holder == "")
        let condition = LockCondition.unchanged(lockID: found.lockID)
        #expect(isWritten(try answer(table, .put(self.item("mine"), if: condition))))
      }
    }
  }

  @Test(
    "An answer that is lost, late, cut off or an error is a failure that may pass; what was done stays done",
    arguments: [false, true])
  func faults(isBeside: Bool) async throws {
    try await onThread {
      let name = try peers.table(on: .ministack)
      let proxy = try FaultProxy(peers, to: .ministack)
      let table = try table(.ministack, name, through: proxy.port, isBeside: isBeside)
      // The second time there are credentials, and a connection that is kept.
      for _ in 0..<2 { _ = try answer(table, .read) }
      // libcurl sends it again by itself, on another connection: it meets its own condition.
      let before = try proxy.seen().count
      try proxy.inject("drop", "PutItem")
      #expect(try refusing(answer(table, .put(item("1"), if: .absent))) == item("1"))
      #expect(try proxy.seen().count == before + 2)
      for (kind, words) in [
        ("hang", "does not answer in time"), ("cut", "broke"), ("status", "an error of its own"),
      ] {
        try proxy.inject(kind, "GetItem", times: -1, seconds: 60)
        let started = SystemClock().elapsed()
        let failure = #expect(throws: LockFailure.self) {
          try table.perform(.read, atMost: kind == "hang" ? .milliseconds(300) : .seconds(30)).get()
        }
        #expect(failure?.isPassing == true && failure?.message.contains(words) == true, "\(kind)")
        #expect(SystemClock().elapsed() - started < .seconds(20))
      }
      try proxy.inject("delay", "GetItem", seconds: 0.05)
      _ = try answer(table, .read)
      // Carried out after nobody waits any more; and twice, of which the second is answered.
      try proxy.inject("late", "UpdateItem", times: -1, seconds: 0.2)
      let held = LockCondition.held(holder: "a", term: 1)
      #expect(throws: LockFailure.self) {
        try table.perform(.update(item("2"), if: held), atMost: .milliseconds(300)).get()
      }
      try proxy.heal()
      try wait("the late request") {
        if case .item(let found) = try answer(table, .read) { found?.lockID == "2" } else { false }
      }
      try proxy.inject("twice", "PutItem")
      let again = LockRequest.put(item("1"), if: .unchanged(lockID: "2"))
      #expect(try refusing(answer(table, again)) == item("1"))
      guard case .item(item("1")) = try answer(table, .read) else {
        Issue.record("the item is not as it was")
        return
      }
    }
  }

  @Test("What the server answers with is told, and whether it passes", arguments: [false, true])
  func answers(isBeside: Bool) async throws {
    try await onThread {
      let name = try peers.table(on: .ministack)
      let proxy = try FaultProxy(peers, to: .ministack)
      let table = try table(.ministack, name, through: proxy.port, isBeside: isBeside)
      for (type, isPassing, words) in [
        ("ThrottlingException", true, "make it on demand"),
        ("ProvisionedThroughputExceededException", true, "more capacity"),
        ("RequestLimitExceeded", true, "more capacity"),
        ("ExpiredTokenException", true, "credentials have expired"),
        ("InvalidSignatureException", false, "correct AWS_SECRET_ACCESS_KEY"),
      ] {
        for prefix in ["", "com.amazon.coral.service#"] {
          try proxy.inject(
            "status", "GetItem", status: 400,
            body: "{\"__type\":\"\(prefix)\(type)\",\"message\":\"for the test\"}")
          let failure = #expect(throws: LockFailure.self) { try answer(table, .read) }
          #expect(failure?.isPassing == isPassing, "\(type)")
          #expect(failure?.message.contains(words) == true, "\(failure?.message ?? "")")
          #expect(failure?.message.contains("\(type): for the test") == true)
        }
      }
      try proxy.inject(
        "status", "GetItem", status: 400,
        body:
          "{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature expired: 20261128\"}")
      let clock = #expect(throws: LockFailure.self) { try answer(table, .read) }
      #expect(clock?.isPassing == true && clock?.message.contains("set this host's clock") == true)
      for body in ["", "{", "[]", "{\"Item\": 7}", "<html>"] {
        // What is read together is read by itself where it cannot be told.
        try proxy.inject("status", "GetItem", times: isBeside ? 2 : 1, status: 200, body: body)
        let failure = #expect(throws: LockFailure.self) { try answer(table, .read) }
        #expect(failure?.isPassing == true && failure?.message.contains("cannot be read") == true)
      }
    }
  }

  @Test("What somebody has to change is told with what to change", arguments: [false, true])
  func remedies(isBeside: Bool) async throws {
    try await onThread {
      let name = try peers.table(on: .ministack)
      func failure(_ table: any LockTable) -> LockFailure? {
        #expect(throws: LockFailure.self) { try table.perform(.read, atMost: .seconds(5)).get() }
      }
      let wrongSecret = failure(
        try table(.ministack, name, ["AWS_SECRET_ACCESS_KEY": "wrong"], isBeside: isBeside))
      #expect(wrongSecret?.isPassing == false)
      #expect(wrongSecret?.message.contains("correct AWS_SECRET_ACCESS_KEY") == true)
      let unknown = failure(
        try table(.ministack, name, ["AWS_ACCESS_KEY_ID": "AKIANOBODY"], isBeside: isBeside))
      #expect(unknown?.message.contains("does not know these credentials") == true)
      let token = failure(
        try table(.ministack, name, ["AWS_SESSION_TOKEN": "not this key's"], isBeside: isBeside))
      #expect(token?.message.contains("does not know these credentials") == true)
      let denied = failure(try table(.ministack, "another-table", isBeside: isBeside))
      #expect(denied?.isPassing == false)
      #expect(
        denied?.message.contains("GetItem on the table another-table in eu-central-1 is denied")
          == true)
      #expect(denied?.message.contains("leading key sluice#\(store)") == true)
      let missing = failure(try table(.ministack, "locks-missing", isBeside: isBeside))
      #expect(missing?.isPassing == false)
      #expect(missing?.message.contains("the table locks-missing is not in eu-central-1") == true)
      let region = failure(
        try table(.ministack, name, ["AWS_REGION": "eu-west-3"], isBeside: isBeside))
      #expect(region?.message.contains("\(name) is not in eu-west-3") == true)
      let other = "locks-other-\(UUID().uuidString.prefix(8))"
      try peers.boto(
        .ministack, "create_table",
        [
          "TableName": other, "KeySchema": [["AttributeName": "id", "KeyType": "HASH"]],
          "AttributeDefinitions": [["AttributeName": "id", "AttributeType": "S"]],
          "BillingMode": "PAY_PER_REQUEST",
        ])
      let schema = failure(try table(.ministack, other, isBeside: isBeside))
      #expect(
        schema?.message.contains("needs the hash key pk (S)") == true, "\(schema?.message ?? "")")
      let endpoint = "AWS_ENDPOINT_URL_DYNAMODB"
      let nowhere = failure(
        try table(.ministack, name, [endpoint: "http://127.0.0.1:1"], isBeside: isBeside))
      #expect(nowhere?.isPassing == true && nowhere?.message.contains("no connection to") == true)
      let noHost = failure(
        try table(
          .ministack, name, [endpoint: "https://dynamodb.nowhere.invalid"], isBeside: isBeside))
      #expect(noHost?.isPassing == true && noHost?.message.contains("is not found") == true)
      // A peer that says what it thinks of a signature in XML.
      let xml = DynamoRefusal(
        HTTPResponse(status: 403, body: "<Error><Code>SignatureDoesNotMatch</Code></Error>"), nil
      )
      .explained(table: "t", region: "r", endpoint: "e", key: "k", operation: "GetItem")
      #expect(!xml.isPassing && xml.message.contains("refuses the credentials"))
    }
  }
}
