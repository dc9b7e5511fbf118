import Glibc
import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

private typealias Code = Outcome.Rejection.Code

/// Batches are executed in a child of the applier's.
@Suite("What a batch's SQL does to the process that runs it costs that batch and no other")
struct WorkerTests {
  /// One step of SQLite's machine each, for minutes: no progress handler is called.
  private static let endless: [String] = [
    "INSERT INTO t(x) SELECT instr(hex(zeroblob(10000000)), hex(zeroblob(5000000))||'1')",
    "INSERT INTO t(x) SELECT hex(zeroblob(10000000)) LIKE '%'||hex(zeroblob(20000))||'1%'",
    "INSERT INTO t(x) SELECT count(*) FROM words WHERE words MATCH (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100000) SELECT group_concat('w' || i, ' OR ') FROM c)",
    // Many steps, each of them dear.
    "INSERT INTO t(x) WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c), d(t) AS (SELECT hex(zeroblob(150000))) SELECT sum(length(replace(t, '0', i))) FROM c, d",
  ]

  private func applier(
    _ store: TestStore, _ holder: String = "a", ttl: Int = 10, batchTime: Int = 1
  ) throws -> ChildProcess {
    try ChildProcess(
      program,
      [
        "apply", store.path, "--ttl", "\(ttl)", "--holder", holder, "--batch-time", "\(batchTime)",
      ])
  }

  private func outcome(_ store: TestStore, _ writer: Writer, _ sql: String) throws -> Outcome {
    let receipt = try writer.submitBlocking(Batch([Batch.Statement(sql)]))
    return try writer.outcomeBlocking(of: receipt, timeout: .seconds(180 * patience)).outcome
  }

  @Test("Local time in a batch is UTC, whatever the host's is; a query has the host's")
  func localTime() throws {
    let store = try TestStore()
    func there(_ arguments: [String]) throws -> ChildProcess.End {
      try ChildProcess("/usr/bin/env", ["TZ=XYZ-9", program] + arguments).end()
    }
    let hour = "SELECT strftime('%H', 0, 'unixepoch', 'localtime')"
    let made = try there(["submit", store.path, "CREATE TABLE hours AS \(hour) AS h", "--assist"])
    #expect(made.code == 0, "\(made.errors)")
    #expect(try store.query("SELECT h FROM hours") == [["00"]])
    #expect(try there(["query", store.path, hour]).output.contains("09"))
  }

  @Test(arguments: endless)
  func aStatementWithoutEndIsRejectedInTime(_ sql: String) async throws {
    try await onThread {
      let store = try TestStore()
      let applier = try applier(store, ttl: 3, batchTime: 4)
      try wait("a leads") { try store.holder() == "a" }
      let writer = try store.writer()
      let made = "CREATE VIRTUAL TABLE words USING fts4(x)"
      #expect(try self.outcome(store, writer, made).isApplied)
      // Those before it in its group are done, and those behind it.
      let before = try writer.submitBlocking(TestStore.row(1, 1))
      let endless = try writer.submitBlocking(Batch([Batch.Statement(sql)]))
      let behind = try writer.submitBlocking(TestStore.row(1, 2))
      let term = try store.present().segment.number
      func outcome(_ receipt: Receipt) throws -> Outcome {
        try writer.outcomeBlocking(of: receipt, timeout: .seconds(180 * patience)).outcome
      }
      #expect(try outcome(before).isApplied)
      let rejection = try outcome(endless)
      #expect(rejection.rejectionCode == Code.timeLimit)
      #expect("\(rejection)".contains("4 s of processor time; split it"))
      #expect(try outcome(behind).isApplied)
      #expect(try store.rows(of: 1) == [1, 2])
      // The term went on meanwhile.
      #expect(try store.present().segment.number == term)
      applier.send(SIGTERM)
      #expect(try applier.end().code == 0)
    }
  }

  /// It makes its beats meanwhile, so that no standby takes over.
  @Test func theTermGoesOnMeanwhileAndObeysSIGTERM() async throws {
    try await onThread {
      let store = try TestStore()
      let leader = try applier(store, ttl: 3, batchTime: 600)
      try wait("a leads") { try store.holder() == "a" }
      let standby = try applier(store, "b", ttl: 3, batchTime: 1)
      try wait("b stands by") { try standby.errorsSoFar().contains("standing by") }
      let writer = try store.writer()
      let receipt = try writer.submitBlocking(Batch([Batch.Statement(Self.endless[0])]))
      try wait("it is being executed", atMost: 240) { try worker(of: leader).map(isBusy) ?? false }
      // Three times the lease.
      pause(9000)
      #expect(try store.holder() == "a")
      leader.send(SIGTERM)
      let end = try leader.end()
      #expect(end.code == 0)
      #expect(end.errors.contains("released"))
      #expect(
        try writer.outcomeBlocking(of: receipt, timeout: .seconds(180 * patience)).outcome
          .rejectionCode == Code.timeLimit)
      #expect(try store.holder() == "b")
      standby.send(SIGTERM)
      #expect(try standby.end().code == 0)
    }
  }

  /// Killed from outside twice, a batch is executed all the same; the third time it is to blame.
  @Test(arguments: [2, 3])
  func aProcessThatIsKilledCostsNoTerm(_ times: Int) async throws {
    try await onThread {
      let store = try TestStore()
      let applier = try applier(store, batchTime: 600)
      try wait("a leads") { try store.holder() == "a" }
      let writer = try store.writer()
      let before = try writer.submitBlocking(TestStore.row(1, 1))
      let slow = try writer.submitBlocking(
        Batch([
          Batch.Statement(
            "INSERT INTO t(w, n) SELECT 1, 2 WHERE (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 20000000) SELECT max(i) FROM c) > 0"
          )
        ]))
      let behind = try writer.submitBlocking(TestStore.row(1, 3))
      let term = try store.present().segment.number
      var killed: Set<pid_t> = []
      try wait("killed \(times) times", atMost: 240) {
        guard let worker = try worker(of: applier), !killed.contains(worker), isBusy(worker) else {
          return false
        }
        kill(worker, SIGKILL)
        killed.insert(worker)
        return killed.count == times
      }
      func outcome(_ receipt: Receipt) throws -> Outcome {
        try writer.outcomeBlocking(of: receipt, timeout: .seconds(180 * patience)).outcome
      }
      #expect(try outcome(before).isApplied)
      let rejection = try outcome(slow)
      if times < 3 {
        #expect(rejection.isApplied)
      } else {
        #expect(rejection.rejectionCode == Code.poisonous)
        #expect("\(rejection)".contains("ended 3 times"))
        #expect("\(rejection)".contains("by signal 9"))
      }
      #expect(try outcome(behind).isApplied)
      #expect(try store.rows(of: 1) == (times < 3 ? [1, 2, 3] : [1, 3]))
      #expect(try store.present().segment.number == term)
      applier.send(SIGTERM)
      #expect(try applier.end().code == 0)
    }
  }

  /// While nothing is executed it is nobody's fault, and the next batch is executed by another one.
  @Test func anIdleProcessThatIsKilledIsReplaced() async throws {
    try await onThread {
      let store = try TestStore()
      let applier = try applier(store)
      let writer = try store.writer()
      for n in 1...6 {
        #expect(try outcome(store, writer, "INSERT INTO t(w, n) VALUES (1, \(n))").isApplied)
        if let worker = try worker(of: applier) { kill(worker, SIGKILL) }
      }
      #expect(try store.rows(of: 1) == Array(1...6))
      applier.send(SIGTERM)
      #expect(try applier.end().code == 0)
    }
  }

  @Test func whenTheApplierDiesTheChildDoes() async throws {
    try await onThread {
      let store = try TestStore()
      let applier = try applier(store, batchTime: 600)
      let writer = try store.writer()
      _ = try writer.submitBlocking(Batch([Batch.Statement(Self.endless[0])]))
      var found: pid_t?
      try wait("it is being executed", atMost: 240) {
        found = try worker(of: applier)
        return found.map(isBusy) ?? false
      }
      try applier.kill9()
      guard let worker = found else { return }
      try wait("the child is gone") { kill(worker, 0) != 0 || ProcessState.hasEnded(worker) }
    }
  }

  /// Commits of many pages come through a scratch file, and large batches in a part of their own.
  @Test func largeCommitsComeThrough() async throws {
    try await onThread {
      let store = try TestStore()
      let applier = try applier(store, batchTime: 60)
      let writer = try store.writer()
      let blob = SQLValue.blob(
        (0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7) })
      let receipt = try writer.submitBlocking(
        Batch([
          Batch.Statement("INSERT INTO t(w, x) VALUES (7, ?)", [blob]),
          Batch.Statement(
            "INSERT INTO t(w, x) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 24000) SELECT 8, randomblob(4000) FROM c"
          ),
        ]))
      #expect(
        try writer.outcomeBlocking(of: receipt, timeout: .seconds(180 * patience)).outcome.isApplied
      )
      #expect(try outcome(store, writer, "INSERT INTO t(w, n) VALUES (9, 1)").isApplied)
      #expect(try store.query("SELECT x FROM t WHERE w = 7") == [[blob]])
      #expect(
        try store.query("SELECT count(*), sum(length(x)) FROM t WHERE w = 8") == [
          [24000, 96_000_000]
        ])
      applier.send(SIGTERM)
      #expect(try applier.end().code == 0)
    }
  }

  /// A value of nearly the batch's limit, which SQLite needs room for twice.
  @Test func theLargestBatchIsApplied() async throws {
    try await onThread {
      let store = try TestStore()
      let applier = try applier(store, batchTime: 60)
      let writer = try store.writer()
      let blob = SQLValue.blob([UInt8](repeating: 7, count: Limits.batchBytes - 1000))
      let receipt = try writer.submitBlocking(
        Batch([Batch.Statement("INSERT INTO t(w, x) VALUES (7, ?)", [blob])]))
      let outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(180 * patience))
        .outcome
      #expect(outcome.isApplied, "\(outcome)")
      #expect(
        try store.query("SELECT length(x) FROM t WHERE w = 7")
          == [[.integer(Int64(Limits.batchBytes - 1000))]])
      applier.send(SIGTERM)
      #expect(try applier.end().code == 0)
    }
  }

  /// The heap's limit is each store's own.
  @Test func aHungryBatchHurtsNoOtherStore() async throws {
    try await onThread {
      let stores = [try TestStore(), try TestStore()]
      let applier = try ChildProcess(program, ["apply"] + stores.map(\.path) + ["--ttl", "10"])
      let writers = try stores.map { try $0.writer() }
      let hungry = try writers[0].submitBlocking(
        Batch([
          Batch.Statement(
            "INSERT INTO t(x) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 40) SELECT length(group_concat(hex(zeroblob(10000000)))) FROM c"
          )
        ]))
      for n in 1...50 {
        #expect(
          try outcome(stores[1], writers[1], "INSERT INTO t(w, n) VALUES (1, \(n))").isApplied)
      }
      #expect(
        try writers[0].outcomeBlocking(of: hungry, timeout: .seconds(180 * patience)).outcome
          .rejectionCode == Code.resources)
      #expect(try stores[1].rejections().isEmpty)
      applier.send(SIGTERM)
      #expect(try applier.end().code == 0)
    }
  }

  // MARK: looking at processes

  /// The child that executes batches for an applier.
  private func worker(of applier: ChildProcess) throws -> pid_t? {
    for entry in try Environment.posix().fileSystem.list("/proc") {
      guard let id = pid_t(entry), let status = ProcessState(of: id), status.parent == applier.id,
        status.state != "Z"
      else { continue }
      return id
    }
    return nil
  }

  /// It is running, and uses more time than the opening of the database takes.
  private func isBusy(_ id: pid_t) -> Bool {
    guard let first = ProcessState(of: id) else { return false }
    for _ in 0..<1000 {
      pause(10)
      guard let second = ProcessState(of: id) else { return false }
      if second.ticks >= first.ticks + 20 { return true }
      if second.ticks == first.ticks, second.state == "S" { return false }
    }
    return false
  }
}

extension Outcome {
  var rejectionCode: String? {
    if case .rejected(let rejection) = self { rejection.code } else { nil }
  }
}
