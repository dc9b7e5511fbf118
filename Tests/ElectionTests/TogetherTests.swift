import SluiceDynamoDB
import SluiceLease
import SluiceShared
import Testing

@testable import SluiceDynamoDB

/// Requests of many stores that come at about the same time, as one thread drives them.
@Suite("What many stores ask at the same time goes together, and each is told its own", .serialized)
struct TogetherTests {
  let peers: Peers
  init() throws { peers = try Peers.shared.get() }

  private let store = StoreID(high: UInt64.random(in: 1 ... .max), low: 1)

  private func item(_ lock: String) -> LockItem {
    LockItem(
      lockID: lock, holder: "a", term: 1, lease: .seconds(10), state: .active,
      expires_s: 1_795_885_462)
  }

  @Test("Of many that are asked at once one that is not answered keeps no other, and too many wait")
  func together() async throws {
    try await onThread {
      let name = try peers.table(on: .ministack)
      let proxy = try FaultProxy(peers, to: .ministack)
      let variables = peers.variables(.ministack, through: proxy.port)
      let service = try DynamoService(
        try Settings(variables) { _ in nil }, client: CurlClient(certificates: nil),
        metadata: CurlClient(certificates: nil), .posix())
      _ = try service.credentials.current(atMost: .seconds(5)).get()
      let done = Monitor((answered: 0, late: 0, notSent: 0))
      let beat = item("1")
      func ask(_ count: Int, atMost limit: Duration) {
        for number in 0..<count {
          let table = DynamoTable(
            table: name, store: StoreID(high: 2, low: UInt64(number)), service, SystemClock())
          let request = LockRequest.update(beat, if: .held(holder: "a", term: 1))
          let isStarted = table.start(request, atMost: limit) { result in
            done.withLock {
              switch result {
              case .success: $0.answered += 1
              case .failure(let failure) where failure == .notSent: $0.notSent += 1
              case .failure(let failure):
                #expect(failure.isLate, "\(failure)")
                $0.late += 1
              }
            }
            done.wakeAll()
          }
          #expect(isStarted)
        }
      }
      try proxy.inject("hang", "UpdateItem", times: 3, seconds: 60)
      ask(200, atMost: .seconds(20))
      let answered = done.wait(atMost: .seconds(15)) { $0.answered >= 197 ? $0 : nil }
      #expect(answered?.answered == 197 && answered?.late == 0)
      let late = done.wait(atMost: .seconds(30)) { $0.late >= 3 ? $0 : nil }
      #expect(late?.late == 3 && late?.answered == 197)
      // All hang: what waits behind those under way for most of its time is not sent.
      let before = try proxy.seen().count
      try proxy.inject("hang", "UpdateItem", times: -1, seconds: 60)
      ask(2 * Limits.groupedRequests, atMost: .seconds(2))
      let over = done.wait(atMost: .seconds(30)) {
        $0.late + $0.notSent >= 3 + 2 * Limits.groupedRequests ? $0 : nil
      }
      #expect(over?.notSent == Limits.groupedRequests, "\(String(describing: over))")
      #expect(try proxy.seen().count - before == Limits.groupedRequests)
    }
  }

  /// A proxy, and the tables of so many stores behind it, of which each second one has an item.
  private func stores(_ count: Int, _ name: String) throws -> (FaultProxy, [DynamoTable]) {
    let proxy = try FaultProxy(peers, to: .ministack)
    let variables = peers.variables(.ministack, through: proxy.port)
    let service = try DynamoService(
      try Settings(variables) { _ in nil }, client: CurlClient(certificates: nil),
      metadata: CurlClient(certificates: nil), .posix())
    let tables = (0..<count).map {
      DynamoTable(
        table: name, store: StoreID(high: store.high, low: UInt64($0)), service, SystemClock())
    }
    for (number, table) in tables.enumerated() where number % 2 == 0 {
      _ = try table.perform(.put(item("\(number)"), if: .absent), atMost: .seconds(5)).get()
    }
    return (proxy, tables)
  }

  /// What looks at all that are begun at once say: the lock id of each.
  private func looks(_ tables: [DynamoTable]) throws -> [Result<String?, LockFailure>?] {
    let found = Monitor([Result<String?, LockFailure>?](repeating: nil, count: tables.count))
    for (number, table) in tables.enumerated() {
      let isStarted = table.start(.read, atMost: .seconds(20)) { result in
        found.withLock {
          #expect($0[number] == nil)
          $0[number] = result.map { if case .item(let item) = $0 { item?.lockID } else { "none" } }
        }
        found.wakeAll()
      }
      #expect(isStarted)
    }
    return try #require(found.wait(atMost: .seconds(60)) { $0.contains(nil) ? nil : $0 })
  }

  @Test("Items that are looked at together are read by few requests, and each says what it is")
  func lookedAtTogether() async throws {
    try await onThread {
      let name = try peers.table(on: .ministack)
      let (proxy, tables) = try stores(250, name)
      let expected: [Result<String?, LockFailure>?] = (0..<250).map {
        .success($0 % 2 == 0 ? "\($0)" : nil)
      }
      let before = try proxy.seen().count
      #expect(try looks(tables) == expected)
      let seen = try proxy.seen().dropFirst(before).map(\.operation)
      #expect(seen.allSatisfy { $0 == "BatchGetItem" } && (3...10).contains(seen.count), "\(seen)")
      // Throttled: of some it is not said what they are, and that may pass.
      let left =
        "{\"Responses\": {\"\(name)\": []}, \"UnprocessedKeys\": {\"\(name)\": {\"Keys\": [{\"pk\": {\"S\": \"\(DynamoTable.key(StoreID(high: store.high, low: 1)))\"}}]}}}"
      try proxy.inject("status", "BatchGetItem", status: 200, body: left)
      let some = try looks(Array(tables.prefix(2)))
      #expect(some[0] == .success(nil))
      guard case .failure(let failure)? = some[1] else {
        Issue.record("it was not read")
        return
      }
      #expect(failure.isPassing && failure.message.contains("is throttled"))
      // An answer that cannot be told from another, or breaks, is followed by a look at each.
      for kind in ["status", "cut"] {
        try proxy.inject(kind, "BatchGetItem", times: -1, status: 200, body: "{\"Responses\": 7}")
        #expect(try looks(Array(tables.prefix(20))) == Array(expected.prefix(20)))
        try proxy.heal()
      }
      // Who may not is asked for it once.
      try proxy.inject(
        "status", "BatchGetItem", times: -1, status: 400,
        body: "{\"__type\":\"AccessDeniedException\",\"message\":\"no\"}")
      for _ in 0..<2 { #expect(try looks(Array(tables.prefix(20))) == Array(expected.prefix(20))) }
      let last = try proxy.seen().suffix(41).map(\.operation)
      #expect(last.count { $0 == "BatchGetItem" } == 1 && last.count { $0 == "GetItem" } == 40)
    }
  }
}
