import Glibc
import SluiceJournal
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

/// With local users: the applier's, whose group no writer has, and two writers'.
@Suite("A writer's batches are out of the other writers' reach")
struct JournalRightsTests {
  private static let applier = "4001"
  private static let honest = "5001"
  private static let attacker = "5002"

  private static func run(as user: String, _ program: String, _ arguments: [String]) throws
    -> ChildProcess.End
  {
    try ChildProcess(
      "setpriv", ["--reuid", user, "--regid", user, "--clear-groups", program] + arguments
    ).end()
  }

  /// Only root can be other users, and a test that is skipped says so. Root that cannot is a failure: nobody
  /// would notice that the rights are tested nowhere.
  private static let asRoot = ConditionTrait.enabled(
    if: getuid() == 0, "local users are played by root; the rights in journal/ are not tested here")

  private static func requireUsers() throws {
    let end = try run(as: attacker, program, ["--version"])
    try #require(
      end.code == 0,
      "user \(attacker) cannot run \(program) (\(end.errors)): setpriv must be there, and the directories above it open to all"
    )
  }

  private final class Place {
    let path: String
    private let teardown = StoreTeardown(at: #_sourceLocation)
    var store: String { "\(path)/store" }
    var layout: StoreLayout { StoreLayout(store) }

    init() throws {
      var template = Array("/tmp/sluice-rights-XXXXXX".utf8CString)
      try #require(mkdtemp(&template) != nil)
      path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
      try #require(chmod(path, 0o777) == 0)
    }

    deinit {
      teardown.verifyStores(in: path)
      _ = try? ChildProcess("rm", ["-rf", path]).end()
    }
  }

  private func sluice(as user: String, _ arguments: String...) throws -> String {
    let end = try Self.run(as: user, program, arguments)
    #expect(end.code == 0, "\(arguments) \(end.errors)")
    return end.output
  }

  @Test(
    "Truncating, overwriting, reading, removing, renaming, linking, chmod",
    asRoot)
  func writers() async throws {
    try await onThread {
      try Self.requireUsers()
      let place = try Place()
      let store = place.store
      _ = try sluice(as: Self.applier, "init", store)
      for user in [Self.honest, Self.attacker] {
        _ = try sluice(
          as: user, "submit", store, "CREATE TABLE IF NOT EXISTS t(a)", "--wait", "durable")
      }
      _ = try sluice(as: Self.applier, "apply", store, "--drain")
      _ = try sluice(
        as: Self.honest, "submit", store, "INSERT INTO t VALUES (1)", "--wait", "durable")
      let name = try #require(
        try PosixFileSystem().list(place.layout.journal).first { $0.hasSuffix(".seg") })
      let segment = "\(place.layout.journal)/\(name)"
      let status = try PosixFileSystem().status(segment)
      #expect(status.permissions == 0o660)
      let before = try content(segment)
      let abuses = [
        ": > \(segment)", "truncate -s 0 \(segment)", "truncate -s 1T \(segment)",
        "printf x | dd of=\(segment) conv=notrunc status=none",
        "printf x | dd of=\(segment) conv=notrunc status=none bs=1 seek=8192", "cat \(segment)",
        "rm -f \(segment)", "mv \(segment) \(segment).x", "mv -f /dev/null \(segment)",
        "ln \(segment) \(place.path)/second", "chmod 666 \(segment)",
        "chmod 777 \(place.layout.journal)",
        "mv \(place.layout.journal) \(place.path)/j", "rmdir \(place.layout.quarantine)",
        "touch \(place.layout.quarantine)/x", "mkdir \(place.layout.log)/x",
        "setfacl -m u:\(Self.attacker):rw \(segment)",
      ]
      for abuse in abuses {
        let end = try Self.run(as: Self.attacker, "sh", ["-c", abuse])
        #expect(end.code != 0, "\(abuse)")
      }
      #expect(try content(segment) == before)
      // What it may do there stops nobody: files of its own, under anybody's names.
      let id = try #require(StoreLayout.journalSegment(name))
      for (number, abuse) in ["truncate -s 64K", "mkdir", "mkfifo -m 000", "ln -s /etc/passwd"]
        .enumerated()
      {
        let own = StoreLayout.journalName(.init(writer: id.writer, number: UInt64(number + 2)))
        let end = try Self.run(
          as: Self.attacker, "sh", ["-c", "\(abuse) \(place.layout.journal)/\(own)"])
        #expect(end.code == 0, "\(end.errors)")
      }
      let seen = try Self.run(as: Self.applier, program, ["status", store])
      #expect(seen.code == 76 && seen.output.contains("ignored"), "\(seen.output)\(seen.errors)")
      let drained = try Self.run(as: Self.applier, program, ["apply", store, "--drain"])
      #expect(drained.code == 76 && drained.errors.contains("ignored"), "\(drained.errors)")
      let rows = try sluice(as: Self.honest, "query", store, "SELECT a FROM t", "--json")
      #expect(rows == "{\"a\": 1}\n")
    }
  }

  /// As it was written, without its attributes.
  private func content(_ path: String) throws -> [UInt8] {
    try PosixFileSystem().open(path, .fixed).read(1 << 20, at: 0)
  }

  @Test(
    "A file that only its owner may read, under another writer's id", asRoot)
  func unreadable() async throws {
    try await onThread {
      try Self.requireUsers()
      let place = try Place()
      let store = place.store
      _ = try sluice(as: Self.applier, "init", store)
      // As the honest user's process does: two segments of one writer, of which the first is applied.
      _ = try sluice(as: Self.honest, "submit", store, "CREATE TABLE t(a)", "--wait", "durable")
      let name = try #require(
        try PosixFileSystem().list(place.layout.journal).first { $0.hasSuffix(".seg") })
      let id = try #require(StoreLayout.journalSegment(name))
      _ = try sluice(as: Self.applier, "apply", store, "--drain")
      let own = StoreLayout.journalName(id)
      let end = try Self.run(
        as: Self.attacker, "sh",
        ["-c", "touch \(place.layout.journal)/\(own) && chmod 000 \(place.layout.journal)/\(own)"])
      #expect(end.code == 0)
      // It is no file of this writer's, and holds nobody back.
      let applied = try Self.run(as: Self.applier, program, ["apply", store, "--drain"])
      #expect(applied.code == 76)
      #expect(applied.errors.contains("journal file ignored"), "\(applied.errors)")
      #expect(!applied.errors.contains("wait"), "\(applied.errors)")
    }
  }

  @Test("status is told of names that are no segments")
  func status() async throws {
    try await onThread {
      let store = try TestStore()
      _ = try store.writer().submitBlocking(TestStore.row(0, 1))
      func name(_ number: UInt64) -> String {
        let writer = WriterID(high: 0x0190_0000_0001_7333, low: 0x8000_0000_0000_0444)
        return
          "\(store.layout.journal)/\(StoreLayout.journalName(.init(writer: writer, number: number)))"
      }
      try PosixFileSystem().makeDirectory(name(1), mode: 0o755)
      try PosixFileSystem().replaceSymbolicLink(name(2), target: "/etc/passwd")
      try #require(mkfifo(name(3), 0o600) == 0)
      let end = try ChildProcess(program, ["status", store.path, "--json"]).end()
      #expect(end.code == 76, "\(end.errors)")
      #expect(end.output.contains("\"ignored\": 3"), "\(end.output)")
      #expect(end.output.contains("\"batches\": 1"), "\(end.output)")
    }
  }

  @Test("More writers wait than the process may open files")
  func openFiles() async throws {
    try await onThread {
      let store = try TestStore()
      let handle = try StoreHandle(at: store.layout, store.environment)
      for n in 1...300 {
        let journal = JournalWriter(to: handle)
        try journal.flush([try TestStore.row(0, n).encoded()], ends: n % 3 == 0)
      }
      let end = try ChildProcess(
        "sh", ["-c", "ulimit -n 64; exec \"$@\"", "sh", program, "apply", store.path, "--drain"]
      ).end()
      #expect(end.code == 0, "\(end.errors)")
      #expect(try store.rows(of: 0).count == 300)
    }
  }
}
