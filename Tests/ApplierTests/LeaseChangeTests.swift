import Glibc
import SluiceApplier
import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceFakes

/// `config` beside appliers: what keeps two kinds of lease from electing side by side.
@Suite("Who claimed by a kind of lease that is no more does not lead")
struct LeaseChangeTests {
  /// Changes store.json when the next log segment gets its number: behind the claimant's first look.
  private final class ChangingFileSystem: HookedFileSystem, @unchecked Sendable {
    // Sendable: what changes is under a lock.
    private let layout: StoreLayout
    private let isDone = Monitor(false)

    init(_ base: any FileSystem, _ layout: StoreLayout) {
      self.layout = layout
      super.init(base)
    }

    override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
      let isFirst = isDone.withLock { isDone in
        guard operation.action == .link, operation.path.hasPrefix(layout.log), !isDone
        else { return false }
        isDone = true
        return true
      }
      guard isFirst else { return .done }
      var description = try StoreDescription.read(layout, base)
      description.lease = .dynamodb(table: "locks")
      let temporary = layout.root + "/other.json"
      let file = try base.create(temporary, mode: 0o444)
      try file.write(Array(description.json.utf8), at: 0)
      try file.sync()
      guard rename(temporary, layout.description) == 0 else {
        throw StoreError(.io, "rename failed", errno: errno)
      }
      return .done
    }
  }

  @Test(arguments: [[], [SafetyCheck.kindAfterClaim]] as [Set<SafetyCheck>])
  func itIsReadAgainBehindTheClaim(omitted: Set<SafetyCheck>) throws {
    let store = try TestStore()
    var environment = store.environment
    environment.omittedChecks = omitted
    environment.fileSystem = ChangingFileSystem(environment.fileSystem, store.layout)
    store.options.drains = true
    let run = {
      try Applier(
        path: store.path, options: store.options, lease: NotingLease(), environment: environment
      ).run(shouldStop: { false })
    }
    if omitted.isEmpty {
      let error = #expect(throws: StoreError.self) { try run() }
      #expect(error?.code == .busy)
      #expect(error?.message.contains("from file to dynamodb:locks") == true)
    } else {
      // It led, by the old kind.
      try run()
    }
    // Whoever is next need not wait.
    let log = Log(of: try store.handle)
    #expect(try log.present().segment.number == 2)
    #expect(try log.present().beacon.state == .released)
  }

  @Test func whatThisVersionDoesNotKnowIsKept() throws {
    let store = try TestStore()
    let json = try StoreDescription.read(store.layout, store.environment.fileSystem).json
    unlink(store.layout.description)
    let file = try store.environment.fileSystem.create(store.layout.description, mode: 0o644)
    // With the checksum that a newer version would give it.
    let content =
      #"{"newer": {"a": [1, 1.0, 1e300, true, null, "\"\u0001"], "b": {}}, "zeros": 0, "#
      + json.prefix { $0 != "\n" }.dropFirst()
    let covered = try #require(content.split(separator: ", \"checksum\"").first)
    let checksum = hexadecimal(crc32c(Array(covered.utf8)), width: 8)
    try file.write(Array("\(covered), \"checksum\": \"\(checksum)\"}\n".utf8), at: 0)
    let before = try StoreDescription.read(store.layout, store.environment.fileSystem)
    #expect(before.others.count == 2)
    // It is no damage, and no repair takes it away.
    #expect(try Repair(store: store.path, name: "test").plan().steps == [])
    let change = LeaseChange(store: store.path, name: "test", environment: store.environment)
    #expect(try change.make(.dynamodb(table: "locks")) == .file)
    let after = try StoreDescription.read(store.layout, store.environment.fileSystem)
    #expect(after.lease == .dynamodb(table: "locks"))
    #expect(after.others == before.others)
  }

  /// And one that failed in the midst of it leaves nobody waiting.
  @Test func aChangeIsMadeAndReleased() throws {
    let store = try TestStore()
    let change = LeaseChange(store: store.path, name: "test", environment: store.environment)
    #expect(try change.make(.dynamodb(table: "locks")) == .file)
    #expect(try change.make(.file) == .dynamodb(table: "locks"))
    try store.apply("CREATE TABLE t(a)")
    #expect(try store.query("SELECT count(*) FROM t") == [[0]])
  }
}
