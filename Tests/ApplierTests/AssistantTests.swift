import SluiceApplier
import SluiceEdits
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@Suite("Who waits for an outcome where nobody leads applies what waits, and gives the lease back")
struct AssistantTests {
  private static func row(_ n: Int) -> Batch {
    Batch([Batch.Statement("INSERT INTO t VALUES (?)", [.integer(Int64(n))])])
  }

  private func options(_ store: TestStore) -> ApplierOptions {
    var options = store.options
    options.holder = "assistant"
    options.standbyPoll = .milliseconds(5)
    return options
  }

  @Test("A thread's outcome, and those of others that nobody waits for")
  func blocking() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    let other = try store.writer()
    for n in 10..<15 { _ = try other.submitBlocking(Self.row(n)) }
    let assistant = Assistant(store: store.path, options: options(store))
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(Self.row(1))
    let outcome = try writer.outcomeBlocking(
      of: receipt, timeout: .seconds(60), assistedBy: assistant)
    #expect(outcome.outcome.isApplied)
    #expect(try store.query("SELECT count(*) FROM t") == [[6]])
    let present = try store.present()
    #expect(present.beacon.state == .released)
    #expect(present.segment.header.holder == "assistant")
    #expect(assistant.trouble == nil)
    // What is known already needs nobody.
    let again = try writer.outcomeBlocking(of: receipt, assistedBy: assistant)
    #expect(again == outcome)
    #expect(try store.present().segment.number == present.segment.number)
  }

  @Test("Many tasks share one assistant, and its terms")
  func tasks() async throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    let before = try store.present().segment.number
    let assistant = Assistant(store: store.path, options: options(store))
    let writer = try store.writer()
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for n in 0..<40 {
        group.addTask {
          let receipt = try await writer.submit(Self.row(n))
          return try await writer.outcome(
            of: receipt, timeout: .seconds(60), assistedBy: assistant
          ).outcome.isApplied
        }
      }
      for try await isApplied in group { #expect(isApplied) }
    }
    #expect(try store.query("SELECT count(DISTINCT a), count(*) FROM t") == [[40, 40]])
    let present = try store.present()
    #expect(present.beacon.state == .released)
    #expect(present.segment.number - before < 10)
  }

  @Test("Who asks for the turn has it for its time, and the term lasts as long")
  func turn() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    var options = options(store)
    options.assistance = Assistance()
    options.assistance?.linger = .milliseconds(10)
    options.assistance?.longestLinger = .milliseconds(20)
    let assistant = Assistant(store: store.path, options: options)
    let client = JournalTransactions(try store.writer(), assistedBy: assistant)
    let turn = try #require(try client.requestTurn { true })
    let begun = store.environment.clock.elapsed()
    SystemClock().sleep(.milliseconds(500))
    let present = try store.present()
    // On a machine that stands still the turn's time may be over.
    if store.environment.clock.elapsed() - begun < Limits.turnTime * 3 / 4 {
      #expect(present.beacon.state == .active && present.beacon.status.turn?.number == turn.number)
    }
    let edited = try EditedSnapshot(
      try PageStore(path: store.path, environment: store.environment)
        .snapshot(.atLeast(turn.base, timeout: .seconds(10))))
    try edited.execute("INSERT INTO t VALUES (7)")
    try edited.take()
    let pages = try edited.batch(turn: turn.number)
    #expect(
      try client.commit(pages, of: turn, timeout: .seconds(30)) == .committed(turn.base.next))
    #expect(try store.present().beacon.state == .released)
    let another = try #require(try client.requestTurn { true })
    client.cancel(another)
    #expect(try store.present().beacon.state == .released)
    #expect(try store.query("SELECT a FROM t") == [[7]])
  }

  @Test("Where another leads it waits, and claims nothing")
  func another() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    let stop = Monitor(false)
    let end = Monitor<Result<Void, StoreError>?>(nil)
    let (path, leading) = (store.path, store.options)
    startThread {
      let result = Result { () throws(StoreError) in
        try Applier(path: path, options: leading).run { stop.withLock { $0 } }
      }
      end.withLock { $0 = result }
      end.wakeAll()
    }
    let before = try store.present().segment.number
    while try store.present().segment.number == before { SystemClock().sleep(.milliseconds(5)) }
    let assistant = Assistant(store: store.path, options: options(store))
    let writer = try store.writer()
    for n in 0..<20 {
      let receipt = try writer.submitBlocking(Self.row(n))
      #expect(
        try writer.outcomeBlocking(of: receipt, timeout: .seconds(60), assistedBy: assistant)
          .outcome.isApplied)
    }
    #expect(try store.present().segment.number == before + 1)
    stop.withLock { $0 = true }
    try end.wait { $0 }.get()
    // It was released, so from here on the assistant leads.
    let receipt = try writer.submitBlocking(Self.row(20))
    _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60), assistedBy: assistant)
    #expect(try store.present().segment.header.holder == "assistant")
  }

  /// More comes all the time, and nobody else applies it: without a bound it would never return.
  @Test("A term ends although others keep it busy")
  func bounded() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    let isOver = Monitor(false)
    let isEnded = Monitor(false)
    let other = try store.writer()
    startThread {
      while !isOver.withLock({ $0 }) {
        _ = try? other.submitBlocking(Self.row(0))
        SystemClock().sleep(.milliseconds(2))
      }
      isEnded.withLock { $0 = true }
      isEnded.wakeAll()
    }
    var options = options(store)
    options.assistance = Assistance()
    options.assistance?.longestLinger = .milliseconds(100)
    let assistant = Assistant(store: store.path, options: options)
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(Self.row(1))
    _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60), assistedBy: assistant)
    #expect(try store.present().beacon.state == .released)
    isOver.withLock { $0 = true }
    isEnded.wait { $0 ? () : nil }
    try store.drain()
  }

  @Test("What keeps it from leading is said where the outcome does not come")
  func trouble() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    var options = options(store)
    options.worker = WorkerProgram(path: "/nowhere/program", arguments: [])
    let assistant = Assistant(store: store.path, options: options)
    let writer = try store.writer()
    let receipt = try writer.submitBlocking(Self.row(1))
    let before = try store.present().segment.number
    let error = #expect(throws: StoreError.self) {
      try writer.outcomeBlocking(of: receipt, timeout: .seconds(10), assistedBy: assistant)
    }
    #expect(error?.code == .timeout)
    #expect(error?.message.contains("the program that executes batches is not there") == true)
    #expect(try store.present().segment.number == before)
    try store.drain()
  }
}
