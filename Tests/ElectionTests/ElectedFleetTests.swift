import Foundation
import Glibc
import SluiceApplier
import SluiceJournal
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

/// Two processes, each behind a proxy that counts what arrives and keeps it, serve stores of both kinds.
@Suite(
  "Many stores of one process are elected by a table, and need no store that is not to wait for it",
  .serialized)
struct ElectedFleetTests {
  let peers: Peers
  init() throws { peers = try Peers.shared.get() }

  private static let elected = 40
  private static let ttl = 5

  /// Stores in a directory of their own, removed with this object.
  private final class Stores: Sendable {
    let directory: String
    /// Led by who has the item.
    let elected: [Store]
    /// Led by who has the beacon.
    let plain: [Store]
    var all: [Store] { elected + plain }

    struct Store: Sendable {
      let path: String
      let id: StoreID

      func log() -> Log {
        Log(of: StoreHandle(layout: StoreLayout(path), id: id, environment: .posix()))
      }

      func apply(_ sql: String, atMost limit: Duration = .seconds(60)) throws -> Duration {
        try timeToApply(sql, to: path, atMost: limit)
      }
    }

    init(_ elected: Int, _ plain: Int, table: String) throws {
      let made = "\(Place.scratch)/stores-\(UUID().uuidString.prefix(8))"
      try #require(mkdir(made, 0o700) == 0)
      directory = made
      func make(_ name: String, _ lease: StoreDescription.LeaseKind) throws -> Store {
        var creation = StoreCreation()
        creation.lease = lease
        try creation.make(at: "\(made)/\(name)")
        let layout = StoreLayout("\(made)/\(name)")
        return Store(
          path: "\(made)/\(name)", id: try StoreDescription.read(layout, PosixFileSystem()).id)
      }
      self.elected = try (0..<elected).map { try make("elected-\($0)", .dynamodb(table: table)) }
      self.plain = try (0..<plain).map { try make("plain-\($0)", .file) }
    }

    deinit {
      StoreTeardown(at: #_sourceLocation).verifyStores(in: directory)
      try? FileManager.default.removeItem(atPath: directory)
    }

    /// How many of `stores` each holder leads.
    func leaders(of stores: [Store]) throws -> [String: Int] {
      var count: [String: Int] = [:]
      for store in stores {
        let present = try store.log().present()
        guard present.beacon.state == .active else { continue }
        count[present.segment.header.holder, default: 0] += 1
      }
      return count
    }

    /// The numbers of the newest log segments: one more with each term.
    func segments(of stores: [Store]) throws -> [UInt64] {
      try stores.map { try $0.log().present().segment.number }
    }
  }

  private func start(
    _ name: String, _ stores: Stores, _ proxy: FaultProxy, _ changes: [String: String]
  ) throws -> Process {
    var variables = peers.variables(.ministack, through: proxy.port)
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] { variables[name] = nil }
    return try Process(
      Place.sluice,
      [
        "apply", "--all", stores.directory, "--ttl", "\(Self.ttl)", "--holder", name,
        "--log-level", "info",
      ], variables.merging(changes) { $1 })
  }

  /// Where both get their credentials, as a task in ECS does.
  private func credentials() throws -> Int {
    let port = Int(try #require(try peers.ask("metadata")["port"]?.integer))
    let user = peers.user.withLock { $0 }
    try peers.ask(
      "grant",
      [
        "port": port, "token": "a",
        "credentials": [
          "AccessKeyId": user.keyID, "SecretAccessKey": user.secret,
          "Expiration": "2096-01-01T00:00:00Z",
        ],
      ])
    return port
  }

  private func threads(_ process: Process) -> Int {
    (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.id)/task"))?.count ?? 0
  }

  @Test(
    "A table that hangs ends the terms that it elects, and no other; a killed process's stores are taken over"
  )
  func hanging() async throws {
    try await onThread {
      let stores = try Stores(Self.elected, 10, table: try peers.table(on: .ministack))
      let proxies = try (0..<2).map { _ in try FaultProxy(peers, to: .ministack) }
      let metadata = try credentials()
      let changes = [
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:\(metadata)/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "a",
      ]
      var processes = try zip(["first", "second"], proxies).map {
        try start($0, stores, $1, changes)
      }
      let count = stores.all.count
      let started = SystemClock().elapsed()
      func areLed() throws -> Bool {
        try stores.leaders(of: stores.all).values.reduce(0, +) == count
      }
      try wait("all are led", atMost: 120) { try areLed() }
      let perStore = (SystemClock().elapsed() - started) / count
      try wait("all are shared", atMost: 120) {
        try areLed() && stores.leaders(of: stores.all).values.allSatisfy { $0 <= 26 }
      }
      for store in stores.all { _ = try store.apply("CREATE TABLE t(a)") }
      try countRequests(stores, proxies)
      #expect(FaultProxy.seen(metadata, peers) <= 2 * processes.count)
      try hang(stores, proxies, processes)
      for proxy in proxies { try proxy.heal() }
      for store in stores.elected { _ = try store.apply("INSERT INTO t VALUES (2)") }
      try wait("all are led again", atMost: 60) { try areLed() }
      // One is killed.
      let victim = processes.removeFirst()
      let its = try stores.leaders(of: stores.all)["first"] ?? 0
      victim.signal(SIGKILL)
      let killed = SystemClock().elapsed()
      try wait("the other leads all", atMost: 60) {
        try stores.leaders(of: stores.all) == ["second": count]
      }
      let took = SystemClock().elapsed() - killed
      print("\(its) stores of a killed process led again after \(took)")
      // Two leases, and twice what taking so many took before.
      let limit = Duration.seconds(Self.ttl * 2) + perStore * its * 2
      let said = processes[0].errorsSoFar.split(separator: "\n").suffix(80)
      #expect(took < limit, "\(said.joined(separator: "\n"))")
      for process in processes {
        process.signal(SIGTERM)
        #expect(try process.end() == 0)
      }
      #expect(try stores.leaders(of: stores.all).isEmpty)
      for store in stores.elected {
        #expect(
          try peers.item(.ministack, table(of: store), store.id)?["state"]?["S"]?.string
            == "released")
      }
    }
  }

  /// The table hangs for longer than a lease.
  private func hang(_ stores: Stores, _ proxies: [FaultProxy], _ processes: [Process]) throws {
    let segments = try stores.segments(of: stores.plain)
    for proxy in proxies { try proxy.inject("hang", "", times: -1, seconds: 30) }
    let hung = SystemClock().elapsed()
    var longest = Duration.zero
    var rounds = 0
    while SystemClock().elapsed() - hung < .seconds(Self.ttl * 3) {
      for store in stores.plain {
        longest = max(longest, try store.apply("INSERT INTO t VALUES (1)"))
      }
      rounds += 1
    }
    print("the table hung: longest batch of another store \(longest), \(rounds) rounds")
    #expect(longest < .seconds(Self.ttl * 2), "\(longest)")
    #expect(try stores.segments(of: stores.plain) == segments)
    for process in processes { #expect(threads(process) < 110, "\(threads(process)) threads") }
    for process in processes {
      #expect(process.errorsSoFar.contains("no longer leading"))
    }
  }

  private func table(of store: Stores.Store) throws -> String {
    let description = try StoreDescription.read(StoreLayout(store.path), PosixFileSystem())
    guard case .dynamodb(let table) = description.lease else { return "" }
    return table
  }

  /// One a renewal of who leads, a read a second at most of who stands by, of each store, and none for a batch.
  private func countRequests(_ stores: Stores, _ proxies: [FaultProxy]) throws {
    func counts() throws -> (reads: Int, updates: Int, puts: Int) {
      let seen = try proxies.flatMap { try $0.seen() }
      func count(_ name: String) -> Int { seen.count { $0.operation == name } }
      return (
        count("GetItem") + count("BatchGetItem"), count("UpdateItem"), count("PutItem")
      )
    }
    let before = try counts()
    let started = SystemClock().elapsed()
    var batches = 0
    while SystemClock().elapsed() - started < .seconds(10) || batches <= 4 * Self.elected {
      for store in stores.elected.prefix(4) {
        _ = try store.apply("INSERT INTO t VALUES (0)")
        batches += 1
      }
    }
    let after = try counts()
    let seconds = (SystemClock().elapsed() - started).inSeconds
    let (reads, updates) = (after.reads - before.reads, after.updates - before.updates)
    let each = Double(Self.elected) * seconds
    print(
      "\(batches) batches, \(Self.elected) stores, a second and store: \(Double(reads) / each) reads, \(Double(updates) / each) renewals"
    )
    // Looks that were delayed come within it.
    #expect(Double(reads) <= each * 1.05 + Double(Self.elected))
    // Each fifth of the ttl at most; one store's more or less at the ends.
    #expect(Double(updates) <= each / (Double(Self.ttl) / 5) + Double(Self.elected))
    // None for a batch; a store may go to another process meanwhile, where this one is slow.
    #expect(after.puts - before.puts <= 2 * Self.elected, "\(batches)")
  }
}

extension FaultProxy {
  /// How many requests arrived at another server of the helper's.
  fileprivate static func seen(_ port: Int, _ peers: Peers) -> Int {
    guard case .array(let entries)? = try? peers.ask("seen", ["port": port])["seen"] else {
      return .max
    }
    return entries.count
  }
}
