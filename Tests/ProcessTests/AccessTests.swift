import Glibc
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@Suite("Readers need to read and nothing else; who may not is told what is missing")
struct AccessTests {
  /// Everything that a read must not change: names, sizes, times, rights.
  private func listing(_ path: String) throws -> String {
    let end = try ChildProcess("find", [path, "-printf", "%P %s %T@ %C@ %m\n"]).end()
    try #require(end.code == 0)
    return end.output.split(separator: "\n").sorted().joined(separator: "\n")
  }

  /// A store with rows in the log, and some that nobody applied yet.
  private func makeStore() throws -> TestStore {
    let store = try TestStore()
    let writer = try store.writer()
    for n in 1...3 { _ = try writer.submitBlocking(TestStore.row(0, n)) }
    try store.drain()
    _ = try writer.submitBlocking(TestStore.row(0, 4))
    return store
  }

  private static let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]

  /// Runs the command as a user who owns nothing here; as ourselves where we are not root.
  private func asNobody(_ arguments: String...) throws -> ChildProcess.End {
    guard getuid() == 0 else { return try ChildProcess(program, arguments).end() }
    return try ChildProcess("setpriv", AccessTests.nobody + [program] + arguments).end()
  }

  private static let canTestRights: Bool = {
    guard getuid() == 0 else { return true }
    let probe = try? ChildProcess("setpriv", nobody + [program, "--version"]).end()
    return probe?.code == 0
  }()

  private static let canMount: Bool = {
    let script = "mount --bind /tmp /tmp && mount -o remount,ro,bind /tmp"
    return (try? ChildProcess("unshare", ["-m", "sh", "-c", script]).end())?.code == 0
  }()

  private func expectRows(_ end: ChildProcess.End) {
    #expect(end.code == 0, "\(end.errors)")
    #expect(end.output == "{\"rows\": 3}\n")
  }

  private static let count = "SELECT count(*) AS rows FROM t"

  @Test("A store that others own", .enabled(if: canTestRights))
  func others() async throws {
    try await onThread {
      let store = try makeStore()
      if getuid() != 0 {
        _ = try ChildProcess("chmod", ["-R", "a-w", store.path]).end()
      }
      let before = try listing(store.path)
      expectRows(try asNobody("query", store.path, AccessTests.count, "--json"))
      #expect(try asNobody("outcome", store.path, "--txid", "2", "--json").code == 0)
      #expect(try listing(store.path) == before)
      // A reader has no business in the journal.
      chmod(store.layout.journal, 0o700)
      expectRows(try asNobody("query", store.path, AccessTests.count, "--json"))
    }
  }

  @Test("The state of a store that others own")
  func status() async throws {
    try await onThread {
      let store = try makeStore()
      let status = try asNobody("status", store.path, "--json")
      #expect(status.code == 0, "\(status.errors)")
    }
  }

  /// What others may not read is nothing wrong with the store; what its own user may not read is.
  @Test(
    "Whose files in the journal cannot be read decides what that says",
    .enabled(if: canTestRights && getuid() == 0))
  func unreadable() async throws {
    try await onThread {
      let store = try makeStore()
      #expect(try sluice("submit", store.path, "DELETE FROM t", "--wait", "durable").code == 0)
      let stranger = try asNobody("status", store.path, "--json")
      #expect(stranger.code == 0, "\(stranger)")
      #expect(stranger.output.contains(#""ignored": 0"#), "\(stranger)")
      #expect(stranger.output.contains(#""isEstimate": true"#), "\(stranger)")
      #expect(stranger.errors.contains("1 files in the journal cannot be read by this user"))
      let waiting = try asNobody("status", store.path, "--wait-until", "applied", "--timeout", "1")
      #expect(waiting.code == 74 && waiting.errors.contains("run this as the store's user"))
      // Now it is the store's user, and the file is still root's.
      for directory in [store.path, store.layout.journal, store.layout.log] {
        try #require(chown(directory, 65534, 65534) == 0)
      }
      let owner = try asNobody("status", store.path, "--json")
      #expect(owner.code == 76, "\(owner)")
      #expect(owner.output.contains(#""ignored": 1"#), "\(owner)")
    }
  }

  @Test("A read-only mount", .enabled(if: canMount))
  func mount() async throws {
    try await onThread {
      let store = try makeStore()
      let before = try listing(store.path)
      func onReadOnlyMount(_ arguments: String...) throws -> ChildProcess.End {
        let script = """
          mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"
          """
        return try ChildProcess(
          "unshare", ["-m", "sh", "-c", script, "sh", store.path, program] + arguments
        ).end()
      }
      expectRows(try onReadOnlyMount("query", store.path, AccessTests.count, "--json"))
      // A batch waits, and nobody leads.
      #expect(try onReadOnlyMount("status", store.path, "--json").code == 69)
      #expect(try listing(store.path) == before)

      let submit = try onReadOnlyMount("submit", store.path, "INSERT INTO t(n) VALUES (5)")
      #expect(submit.code == 75, "\(submit)")
      #expect(submit.errors.contains(store.layout.journal), "\(submit.errors)")
      #expect(submit.errors.contains("mount it writable"), "\(submit.errors)")
      let apply = try onReadOnlyMount("apply", store.path, "--drain", "--ttl", "1")
      #expect(apply.code == 74, "\(apply)")
      #expect(apply.errors.contains(store.layout.log), "\(apply.errors)")
      #expect(apply.errors.contains("mount it writable"), "\(apply.errors)")
      #expect(try listing(store.path) == before)
    }
  }

  @Test("What may not be entered or written is named, and what to do", .enabled(if: canTestRights))
  func denied() async throws {
    try await onThread {
      let store = try makeStore()
      func expectDenied(_ end: ChildProcess.End, _ code: Int32, _ path: String) {
        #expect(end.code == code, "\(end)")
        #expect(end.output == "")
        #expect(end.errors.contains(path), "\(end.errors)")
        #expect(end.errors.contains("give this user the right to it"), "\(end.errors)")
      }
      // Into the journal others may write; this user is not of its group.
      chmod(store.layout.journal, getuid() == 0 ? 0o755 : 0o555)
      expectDenied(
        try asNobody("submit", store.path, "INSERT INTO t(n) VALUES (5)"), 75,
        store.layout.journal)
      chmod(store.layout.log, getuid() == 0 ? 0o755 : 0o555)
      expectDenied(
        try asNobody("apply", store.path, "--drain", "--ttl", "1"), 74, store.layout.log)
      for directory in [store.layout.log, store.layout.checkpoints, store.path] {
        chmod(directory, getuid() == 0 ? 0o700 : 0o000)
        expectDenied(
          try asNobody("query", store.path, AccessTests.count), 74, directory)
        chmod(directory, 0o755)
      }
      expectRows(try asNobody("query", store.path, AccessTests.count, "--json"))
    }
  }
}
