import Glibc
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@Suite("Worker processes alone are a working system: with --assist no applier is needed")
struct AssistTests {
  private static func submit(_ store: TestStore, _ n: Int, _ arguments: String...) throws
    -> ChildProcess
  {
    try ChildProcess(
      program,
      [
        "submit", store.path, "INSERT INTO t(w, n) VALUES (1, ?)", "\(n)", "--assist", "--timeout",
        "\(60 * patience)",
      ] + arguments)
  }

  /// When each segment of the log was begun, from `number` on, by this host's clock.
  private static func claims(_ store: TestStore, from number: UInt64) throws -> [Int64] {
    let log = try store.log()
    return try log.listed().filter { $0 >= number }.sorted().compactMap { number in
      guard let segment = try log.open(number), try segment.control().beacon != nil else {
        return nil
      }
      return segment.header.created_ms
    }
  }

  @Test("50 short-lived workers: every batch once, few segments, at most one claim a second")
  func workers() async throws {
    try await onThread {
      let store = try TestStore()
      let first = try store.present().segment.number + 1
      let workers = try (0..<50).map { try Self.submit(store, $0) }
      let ends = try workers.map { try $0.end() }
      for end in ends {
        #expect(end.code == 0 && end.output.hasPrefix("applied "), "\(end.errors)")
        #expect(end.errors.isEmpty, "\(end.errors)")
      }
      #expect(try store.rows(of: 1).sorted() == Array(0..<50))
      #expect(Set(ends.map(\.output)).count == 50)
      let claims = try Self.claims(store, from: first)
      #expect((1...25).contains(claims.count), "\(claims.count) segments for 50 batches")
      for (before, after) in zip(claims, claims.dropFirst()) {
        // Whole milliseconds.
        #expect(after - before >= 998, "claims \(after - before) ms apart")
      }
      #expect(try store.present().beacon.state == .released)
      #expect(try store.leftovers().isEmpty)
    }
  }

  @Test("Where an applier leads they only wait")
  func applier() async throws {
    try await onThread {
      let store = try TestStore()
      let applier = try store.startApplier("applier", ttl: 30)
      try wait("the applier leads") { try store.present().segment.header.holder == "applier" }
      let number = try store.present().segment.number
      for n in 0..<3 { #expect(try Self.submit(store, n).end().code == 0) }
      #expect(try store.present().segment.number == number)
      applier.send(SIGTERM)
      #expect(try applier.end().code == 0)
    }
  }

  @Test("One that is told to end while it leads gives the lease back first")
  func terminated() async throws {
    try await onThread {
      let store = try TestStore()
      let worker = try ChildProcess(
        program, ["submit", store.path, "--ndjson", "-", "--assist", "--ttl", "60"],
        hasInput: true)
      #expect(worker.write("{\"statements\": [[\"INSERT INTO t(w, n) VALUES (1, 1)\"]]}\n"))
      try wait("an outcome") { try worker.outputSoFar().contains("applied") }
      worker.send(SIGTERM)
      #expect(try worker.end().code == -SIGTERM)
      #expect(try store.present().beacon.state == .released)
      // Nobody has to wait for a lease.
      let end = try Self.submit(store, 2).end()
      #expect(end.code == 0, "\(end.errors)")
    }
  }

  /// Each worker lives for less than the lease: none sees for so long that the beacon stands still, but the
  /// file server's dates say so.
  @Test("One that is killed while it leads is followed when its lease has run out")
  func killed() async throws {
    try await onThread {
      let store = try TestStore()
      let worker = try ChildProcess(
        program, ["submit", store.path, "--ndjson", "-", "--assist", "--ttl", "3"], hasInput: true)
      #expect(worker.write("{\"statements\": [[\"INSERT INTO t(w, n) VALUES (1, 0)\"]]}\n"))
      try wait("a term") { try store.present().beacon.state == .active }
      try worker.kill9()
      let number = try store.present().segment.number
      var tries = 0
      while try store.present().segment.number == number {
        tries += 1
        let end = try ChildProcess(
          program,
          [
            "submit", store.path, "INSERT INTO t(w, n) VALUES (2, 1)", "--id", "one", "--assist",
            "--ttl", "3", "--timeout", "1",
          ]
        ).end()
        #expect(end.code == 69 || end.code == 0, "\(end.errors)")
        try #require(tries < 60)
      }
      let end = try Self.submit(store, 3).end()
      #expect(end.code == 0, "\(end.errors)")
      #expect(try store.rows(of: 1).sorted() == [0, 3])
      #expect(try store.rows(of: 2) == [1])
    }
  }

  @Test("One that cannot apply says why, and waits for who can")
  func unable() async throws {
    try await onThread {
      let store = try TestStore()
      let number = try store.present().segment.number
      let end = try ChildProcess(
        "env",
        [
          "TMPDIR=/nowhere", program, "submit", store.path, "INSERT INTO t(w, n) VALUES (1, 1)",
          "--assist", "--timeout", "10",
        ]
      ).end()
      #expect(end.code == 69)
      #expect(end.errors.contains("this process cannot apply batches either"), "\(end.errors)")
      #expect(end.errors.contains("set TMPDIR to a directory on a local disk"))
      #expect(try store.present().segment.number == number)
      try store.drain()
      #expect(try store.rows(of: 1) == [1])
    }
  }

  @Test(
    "Options that do not go together are refused",
    arguments: [
      ["--assist", "--wait", "durable"], ["--ttl", "5"], ["--assist", "--ttl", "0.5"],
    ])
  func refused(options: [String]) throws {
    let end = try ChildProcess(program, ["submit", "/nowhere", "SELECT 1"] + options).end()
    #expect(end.code == 64, "\(end.errors)")
  }
}
