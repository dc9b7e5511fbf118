import Glibc
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@Suite("A writer may end or freeze at any moment: what it was told is durable is applied once")
struct WriterProcessTests {
  /// Random letters, which do not compress, so that frames are large and writes take their time.
  private static let noise: String = {
    var text = ""
    for _ in 0..<20_000 { text += hexadecimal(UInt64.random(in: .min ... .max), width: 16) }
    return text
  }()

  private static func lines(_ writer: Int, _ count: Int) -> String {
    let noise = Array(noise.utf8)
    var bytes: [UInt8] = []
    for n in 1...count {
      let start = Int.random(in: 0..<noise.count - 3000)
      bytes += Array(
        #"{"statements": [["INSERT INTO t(w, n, x) VALUES (?, ?, ?)", [\#(writer), \#(n), ""#.utf8)
      bytes += noise[start..<start + 3000]
      bytes += Array("\"]]]}\n".utf8)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static let durable = "{\"status\": \"durable\"}"

  @Test("Killed in mid-flush")
  func killed() async throws {
    try await onThread {
      let store = try TestStore()
      var options = TestStore.options()
      options.leaseTime = .seconds(10)
      options.retireAfter = .milliseconds(100)
      let applier = try ApplierThread(store, options)
      var reported: [Int] = []
      for round in 0..<12 {
        let child = try ChildProcess(
          program, ["submit", store.path, "--ndjson", "-", "--wait", "durable", "--json"],
          hasInput: true)
        let input = WriterProcessTests.lines(round, 1000)
        startThread { _ = child.write(input) }
        // Every other one is killed as it starts, perhaps; the rest after something was acknowledged.
        if round % 2 == 1 {
          try wait("an acknowledgement") { try child.outputSoFar().contains("\n") }
        }
        pause(0...250 * patience)
        let end = try child.kill9()
        // What is cut off was not reported.
        let lines = end.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        #expect(lines.allSatisfy { $0 == WriterProcessTests.durable })
        reported.append(lines.count)
      }
      #expect(reported.contains { $0 > 0 }, "\(reported)")
      // Nobody is held up, and everything that was left behind is cleared away.
      try wait("an empty journal") { try store.journalSegments().isEmpty }
      try applier.stop()
      for (round, count) in reported.enumerated() {
        let rows = try store.rows(of: round)
        #expect(rows == (0..<rows.count).map { Int64($0 + 1) })
        #expect(rows.count >= count)
      }
      _ = try History(store)
      // What went to quarantine was never reported, and what is whole of it was applied.
      #expect(try store.names(store.layout.quarantine).count <= reported.count)
    }
  }

  @Test("Frozen again and again while its segments are retired")
  func frozen() async throws {
    try await onThread {
      let store = try TestStore()
      var options = TestStore.options()
      options.leaseTime = .seconds(10)
      options.retireAfter = .milliseconds(30)
      let applier = try ApplierThread(store, options)
      let child = try ChildProcess(
        program, ["submit", store.path, "--ndjson", "-", "--wait", "durable", "--json"],
        hasInput: true)
      let sent = Monitor((count: 0, shouldStop: false, isDone: false))
      startThread {
        while !sent.withLock({ $0.shouldStop }) {
          let n = sent.withLock { $0.count + 1 }
          let line =
            #"{"statements": [["INSERT INTO t(w, n) VALUES (?, ?)", [0, \#(n)]]]}"# + "\n"
          guard child.write(line) else { break }
          sent.withLock { $0.count = n }
          usleep(300)
        }
        sent.withLock { $0.isDone = true }
        sent.wakeAll()
      }
      var retired = 0
      for _ in 0..<25 {
        pause(5...40)
        child.send(SIGSTOP)
        for _ in 0..<1000 * patience where try !store.journalSegments().isEmpty { usleep(3000) }
        if try store.journalSegments().isEmpty { retired += 1 }
        child.send(SIGCONT)
      }
      #expect(retired > 3)
      sent.withLock { $0.shouldStop = true }
      sent.wait { $0.isDone ? () : nil }
      child.endInput()
      let end = try child.end()
      #expect(end.code == 0, "\(end.errors)")
      let count = sent.withLock { $0.count }
      #expect(end.output.split(separator: "\n").count == count)
      try wait("an empty journal") { try store.journalSegments().isEmpty }
      try applier.stop()
      let rows = try store.rows(of: 0)
      let expected = (0..<count).map { Int64($0 + 1) }
      let lost = Set(expected).subtracting(rows).sorted()
      let rejections = try store.rejections()
      let isRight = rows == expected
      #expect(
        isRight,
        "\(rows.count) rows of \(count), lost \(lost.prefix(5)) … \(lost.suffix(3)), rejected \(rejections)"
      )
      _ = try History(store)
    }
  }
}

@Suite("A writer that freezes in mid-flush while its segment is retired: once, and not lost")
struct FrozenFlushTests {
  enum Moment: CaseIterable { case beforeWriting, beforeSync, beforeReadingTheMark }

  /// Freezes a writer's second flush at a moment until its segment is removed; returns whether the
  /// batch was acknowledged, and how often it was applied.
  private func freeze(_ moment: Moment, omitting omitted: Set<SafetyCheck> = []) throws -> Int {
    let store = try TestStore()
    var options = TestStore.options()
    options.leaseTime = .seconds(10)
    options.retireAfter = .milliseconds(30)
    let applier = try ApplierThread(store, options)
    let isArmed = Monitor(false)
    var environment = Environment.hooked { operation in
      guard operation.path.hasSuffix(".seg") else { return .done }
      let isMoment =
        switch moment {
        case .beforeWriting: operation.action == .write
        case .beforeSync: operation.action == .sync
        case .beforeReadingTheMark: operation.action == .read && operation.offset == 0
        }
      let waits =
        isMoment
        && isArmed.withLock { armed in
          defer { if isMoment { armed = false } }
          return armed
        }
      if waits { try? wait("retirement") { try store.journalSegments().isEmpty } }
      return .done
    }
    environment.omittedChecks = omitted
    let writer = try store.writer(environment)
    _ = try writer.submitBlocking(TestStore.row(0, 1))
    isArmed.withLock { $0 = true }
    _ = try writer.submitBlocking(TestStore.row(0, 2))
    #expect(isArmed.withLock { !$0 })
    writer.closeBlocking()
    try wait("an empty journal") { try store.journalSegments().isEmpty }
    try applier.stop()
    let rows = try store.rows(of: 0)
    #expect(rows.first == 1)
    return rows.count { $0 == 2 }
  }

  @Test(arguments: Moment.allCases)
  func anAcknowledgedBatchIsAppliedOnce(moment: Moment) async throws {
    try await onThread {
      let times = try freeze(moment)
      #expect(times == 1)
    }
  }

  #if DEBUG
    /// Written into a file that its applier has read for the last time, and acknowledged.
    @Test func withoutReadingTheMarkAnAcknowledgedBatchIsLost() async throws {
      try await onThread {
        let times = try freeze(.beforeWriting, omitting: [.markAfterFlush])
        #expect(times == 0)
      }
    }
  #endif
}
