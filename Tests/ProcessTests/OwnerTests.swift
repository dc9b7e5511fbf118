import Glibc
import SluiceJournal
import SluiceShared
import SluiceTeardown
import Testing

/// The store's user is 4001; root and user 5001 come by.
@Suite("Who may not write a store is told at once, and what root makes stays usable to its user")
struct OwnerTests {
  private static let user: UInt32 = 4001
  private static let asRoot = ConditionTrait.enabled(
    if: getuid() == 0, "local users are played by root; owners are not tested here")

  private final class Place {
    let path: String
    private let teardown = StoreTeardown(at: #_sourceLocation)
    var store: String { "\(path)/store" }

    init() throws {
      var template = Array("/tmp/sluice-owner-XXXXXX".utf8CString)
      try #require(mkdtemp(&template) != nil)
      path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
      try #require(chmod(path, 0o755) == 0 && chown(path, OwnerTests.user, OwnerTests.user) == 0)
      let made = try sluice(as: OwnerTests.user, "init", store)
      try #require(made.code == 0, "\(made.errors)")
    }

    deinit {
      teardown.verifyStores(in: path)
      _ = try? ChildProcess("rm", ["-rf", path]).end()
    }

    func sluice(as user: UInt32, _ arguments: String...) throws -> ChildProcess.End {
      try ChildProcess(
        "setpriv",
        ["--reuid", "\(user)", "--regid", "\(user)", "--clear-groups", program] + arguments
      ).end()
    }

    func submit(_ sql: String) throws {
      let end = try sluice(as: OwnerTests.user, "submit", store, sql, "--wait", "durable")
      try #require(end.code == 0, "\(end.errors)")
    }

    func names(_ directory: String) throws -> [String] {
      try PosixFileSystem().list("\(store)/\(directory)").sorted()
    }

    /// Of a directory and all that is in it.
    func owners(_ directory: String) throws -> Set<UInt32> {
      let path = "\(store)/\(directory)"
      let fileSystem = PosixFileSystem()
      return try Set(
        ([path] + names(directory).map { "\(path)/\($0)" }).map {
          try fileSystem.status($0).owner
        })
    }
  }

  @Test("What root runs once, the store's user goes on with", asRoot)
  func root() async throws {
    try await onThread {
      let place = try Place()
      let store = place.store
      try place.submit("CREATE TABLE t(a)")
      #expect(try place.sluice(as: 0, "apply", store, "--drain").code == 0)
      try place.submit("INSERT INTO nowhere VALUES(1)")
      try place.submit("INSERT INTO t VALUES(1)")
      #expect(try place.sluice(as: Self.user, "apply", store, "--drain").code == 0)
      #expect(try place.sluice(as: 0, "checkpoint", store).code == 0)
      #expect(try place.sluice(as: 0, "discard", store, "2").code == 0)
      #expect(try place.sluice(as: 0, "config", store, "--transactions", "none").code == 0)
      let checkpoint = try #require(try place.names("checkpoints").last)
      try PosixFileSystem().unlink("\(store)/checkpoints/\(checkpoint)")
      let repaired = try place.sluice(as: 0, "repair", store, "--yes", "--ttl", "0.5")
      #expect(repaired.code == 0, "\(repaired.output)\(repaired.errors)")
      for directory in ["log", "checkpoints", "handled", "repaired"] {
        #expect(try place.owners(directory) == [Self.user], "\(directory)")
      }
      #expect(try PosixFileSystem().status("\(store)/store.json").owner == Self.user)
      try place.submit("INSERT INTO t VALUES(2)")
      let drained = try place.sluice(as: Self.user, "apply", store, "--drain")
      #expect(drained.code == 0, "\(drained.errors)")
    }
  }

  @Test("So is a directory that is made anew", asRoot)
  func directory() async throws {
    try await onThread {
      let place = try Place()
      try place.submit("CREATE TABLE t(a)")
      #expect(try place.sluice(as: Self.user, "apply", place.store, "--drain").code == 0)
      try #require(rmdir("\(place.store)/log/old") == 0)
      let retirement = LogRetirement(
        layout: StoreLayout(place.store), environment: .posix(), name: "test")
      #expect(try retirement.retire(below: 2, beneath: 2) == [1])
      #expect(try place.owners("log/old") == [Self.user])
    }
  }

  /// As in a container without CAP_CHOWN: the store's user is then told whose file is in its way.
  @Test("A root that may give nothing away keeps what it makes, and works", asRoot)
  func withoutRight() async throws {
    try await onThread {
      let place = try Place()
      try place.submit("CREATE TABLE t(a)")
      let drained = try ChildProcess(
        "setpriv", ["--bounding-set", "-chown", program, "apply", place.store, "--drain"]
      ).end()
      #expect(drained.code == 0, "\(drained.errors)")
      #expect(try place.owners("log") == [Self.user, 0])
      let next = try place.sluice(as: Self.user, "apply", place.store, "--drain")
      #expect(next.code == 74 && next.errors.contains("chown 4001"), "\(next.errors)")
    }
  }

  @Test("Where everybody makes files, a file of root's stays root's", asRoot)
  func journal() async throws {
    try await onThread {
      let place = try Place()
      let end = try place.sluice(as: 0, "submit", place.store, "SELECT 1", "--wait", "durable")
      #expect(end.code == 0, "\(end.errors)")
      let name = try #require(try place.names("journal").first { $0.hasSuffix(".seg") })
      #expect(try PosixFileSystem().status("\(place.store)/journal/\(name)").owner == 0)
    }
  }

  @Test("A start that cannot lead says so at once, and leaves nothing behind", asRoot)
  func start() async throws {
    try await onThread {
      let place = try Place()
      let before = try place.names("log")
      let stranger = try place.sluice(as: 5001, "apply", place.store)
      #expect(stranger.code == 74, "\(stranger.errors)")
      #expect(
        stranger.errors.contains("this process could not take over")
          && stranger.errors.contains("the store's user, 4001"), "\(stranger.errors)")
      let segment = "\(place.store)/log/\(try #require(before.last { $0.hasSuffix(".log") }))"
      try #require(chown(segment, 0, 0) == 0)
      for command in [["apply", place.store], ["config", place.store, "--transactions", "none"]] {
        let end = try ChildProcess(
          "setpriv", ["--reuid", "4001", "--regid", "4001", "--clear-groups", program] + command
        ).end()
        #expect(end.code == 74 && end.errors.contains("Permission denied"), "\(end.errors)")
        #expect(try place.names("log") == before)
      }
    }
  }

  private static let canMount: Bool = {
    let script = "mount --bind /tmp /tmp && mount -o remount,ro,bind /tmp"
    return (try? ChildProcess("unshare", ["-m", "sh", "-c", script]).end())?.code == 0
  }()

  @Test("A standby on a read-only mount ends when it starts", .enabled(if: canMount))
  func readOnly() async throws {
    try await onThread {
      let store = try TestStore()
      let leader = try store.startApplier("leader")
      let script =
        "mount --bind \(store.path) \(store.path) && mount -o remount,ro,bind \(store.path) && exec \"$@\""
      let end = try ChildProcess(
        "unshare", ["-m", "sh", "-c", script, "sh", program, "apply", store.path]
      ).end()
      #expect(end.code == 74, "\(end.errors)")
      #expect(end.errors.contains("Read-only file system; mount it writable"), "\(end.errors)")
      leader.send(SIGTERM)
      #expect(try leader.end().code == 0)
    }
  }
}
