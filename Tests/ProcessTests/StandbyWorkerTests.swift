import Glibc
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

@Suite("What executes a standby's batches is there before its term begins")
struct StandbyWorkerTests {
  private func applier(_ store: TestStore, _ holder: String) throws -> ChildProcess {
    try ChildProcess(program, ["apply", store.path, "--ttl", "1", "--holder", holder])
  }

  /// A leader, and a standby with its child.
  private func pair(_ store: TestStore) throws -> (ChildProcess, ChildProcess, pid_t) {
    let leader = try applier(store, "a")
    try wait("a leads") { try store.holder() == "a" }
    let standby = try applier(store, "b")
    return (leader, standby, try child(of: standby))
  }

  private func child(of applier: ChildProcess, otherThan old: pid_t? = nil) throws -> pid_t {
    var found: pid_t?
    try wait("it has a child") {
      found = try children(of: applier.id).first { $0 != old }
      return found != nil
    }
    return try #require(found)
  }

  private func outcome(_ writer: Writer, _ n: Int) throws -> Outcome {
    let receipt = try writer.submitBlocking(TestStore.row(1, n))
    return try writer.outcomeBlocking(of: receipt, timeout: .seconds(180 * patience)).outcome
  }

  @Test func aTakeoverStartsNoProcess() async throws {
    try await onThread {
      let store = try TestStore()
      let (leader, standby, child) = try pair(store)
      let writer = try store.writer()
      #expect(try outcome(writer, 1).isApplied)
      try leader.kill9()
      #expect(try outcome(writer, 2).isApplied)
      #expect(try store.holder() == "b")
      #expect(try children(of: standby.id) == [child])
      #expect(try store.rows(of: 1) == [1, 2])
      standby.send(SIGTERM)
      #expect(try standby.end().code == 0)
    }
  }

  @Test func oneThatEndsIsStartedAgain() async throws {
    try await onThread {
      let store = try TestStore()
      let (leader, standby, first) = try pair(store)
      kill(first, SIGKILL)
      _ = try child(of: standby, otherThan: first)
      try leader.kill9()
      #expect(try outcome(try store.writer(), 1).isApplied)
      #expect(try store.holder() == "b")
      standby.send(SIGTERM)
      let end = try standby.end()
      #expect(end.code == 0)
      #expect(end.errors.contains("the process that stands by to execute batches ended"))
    }
  }

  /// It is of no use to a term, and costs it nothing but the start of another.
  @Test func oneThatHangsOrEndsAtTheTakeoverIsReplaced() async throws {
    try await onThread {
      let store = try TestStore()
      let (leader, standby, child) = try pair(store)
      kill(child, SIGSTOP)
      let writer = try store.writer()
      #expect(try outcome(writer, 1).isApplied)
      try leader.kill9()
      let receipt = try writer.submitBlocking(TestStore.row(1, 2))
      try wait("b leads") { try store.holder() == "b" }
      kill(child, SIGKILL)
      #expect(
        try writer.outcomeBlocking(of: receipt, timeout: .seconds(180 * patience)).outcome.isApplied
      )
      #expect(try store.holder() == "b")
      #expect(try children(of: standby.id) != [child])
      standby.send(SIGTERM)
      let end = try standby.end()
      #expect(end.code == 0)
      // Found when it was told where the term begins, or when it was needed.
      #expect(
        end.errors.contains("the one that stood by is of no use")
          || end.errors.contains("the process that stands by to execute batches ended"))
    }
  }

  @Test(arguments: [SIGTERM, SIGKILL])
  func itEndsWithTheStandby(_ signal: Int32) async throws {
    try await onThread {
      let store = try TestStore()
      let (leader, standby, child) = try pair(store)
      standby.send(signal)
      #expect(try standby.end().code == (signal == SIGTERM ? 0 : -SIGKILL))
      try wait("the child is gone") { kill(child, 0) != 0 || ProcessState.hasEnded(child) }
      leader.send(SIGTERM)
      #expect(try leader.end().code == 0)
    }
  }

  /// However long it stands by, it holds the files of the present, and begins where a term does.
  @Test func itFollowsTheLog() async throws {
    try await onThread {
      let store = try TestStore()
      let layout = StoreLayout(store.path)
      let environment = Environment.posix()
      let description = try StoreDescription.read(layout, environment.fileSystem)
      let worker = try ChildWorker(
        WorkerProgram(path: program, arguments: ["execute"]), store: layout,
        Session.Settings(description, TestStore.options()), batchTime: .seconds(30), environment)
      var child: pid_t?
      try wait("it is there") {
        child = try children(of: getpid()).first {
          (try? command(of: $0).contains(store.path)) ?? false
        }
        return child != nil
      }
      let id = try #require(child)
      let writer = try store.writer()
      for n in 1...12 {
        let receipt = try writer.submitBlocking(TestStore.row(1, n))
        try store.drain()
        _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60))
        let newest = "\(layout.log)/\(StoreLayout.logName(try store.present().segment.number))"
        try wait("it has the newest segment") {
          try worker.follow()
          return try files(of: id).contains(newest)
        }
      }
      let receipt = try writer.submitBlocking(TestStore.row(1, 13))
      try store.drain()
      let txid = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60)).txid
      try worker.begin(at: txid)
      #expect(try worker.opened(at: txid, WorkerEvents()).extent.txid == txid)
    }
  }
}

// MARK: looking at processes

private func children(of parent: pid_t) throws -> [pid_t] {
  try Environment.posix().fileSystem.list("/proc").compactMap { pid_t($0) }.filter {
    guard let stat = ProcessState(of: $0) else { return false }
    return stat.parent == parent && stat.state != "Z"
  }
}

private func command(of id: pid_t) throws -> String {
  String(
    decoding: try Environment.posix().fileSystem.open("/proc/\(id)/cmdline", .fixed).read(
      4096, at: 0),
    as: UTF8.self)
}

private func files(of id: pid_t) throws -> [String] {
  try Environment.posix().fileSystem.list("/proc/\(id)/fd").compactMap { name in
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/\(id)/fd/\(name)", &buffer, buffer.count)
    guard count > 0 else { return nil }
    return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
