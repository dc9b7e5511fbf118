import SluiceEdits
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter
import Synchronization
import Testing

@testable import SluiceApplier

@Suite("Who has the turn commits next")
struct TurnTests {
  /// A store with an applier at work in another thread, until `body` returns.
  private func led(_ omitted: Set<SafetyCheck> = [], _ body: (TestStore) throws -> Void) throws {
    let store = try store()
    store.environment.omittedChecks = omitted
    try led(store, body)
  }

  private func store() throws -> TestStore {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    return store
  }

  private func led(_ store: TestStore, _ body: (TestStore) throws -> Void) throws {
    let isOver = Atomic(false)
    let failure = Monitor<(any Error)?>(nil)
    let (path, options, environment) = (store.path, store.options, store.environment)
    let work = environment.executor.start {
      do {
        try Applier(path: path, options: options, environment: environment).run {
          isOver.load(ordering: .relaxed)
        }
      } catch { failure.withLock { $0 = error } }
    }
    defer {
      isOver.store(true, ordering: .relaxed)
      work.wait()
    }
    try body(store)
    if let failure = failure.withLock({ $0 }) { throw failure }
  }

  private func client(_ store: TestStore) throws -> JournalTransactions {
    JournalTransactions(try store.writer())
  }

  private func turn(_ client: JournalTransactions, atMost limit: Duration = .seconds(30)) throws
    -> Turn?
  {
    let clock = SystemClock()
    let begun = clock.elapsed()
    return try client.requestTurn { clock.elapsed() - begun < limit }
  }

  private func pages(_ store: TestStore, _ turn: Turn, _ sql: String) throws -> PageBatch {
    let pages = try PageStore(path: store.path, environment: store.environment)
    let edited = try EditedSnapshot(
      try pages.snapshot(.atLeast(turn.base, timeout: .seconds(10))))
    #expect(edited.snapshot.txid == turn.base)
    try edited.execute(sql)
    try edited.take()
    return try edited.batch(turn: turn.number)
  }

  @Test("What others submit meanwhile comes behind it")
  func others() throws {
    try led { store in
      let client = try client(store)
      let writer = try store.writer()
      for place in 0..<5 {
        let turn = try #require(try turn(client))
        let other = try writer.submitBlocking(Batch([.init("INSERT INTO t(v) VALUES('other')")]))
        let pages = try pages(store, turn, "INSERT INTO t(v) SELECT count(*) FROM t")
        let commitment = try client.commit(pages, of: turn, timeout: .seconds(30))
        #expect(commitment == .committed(turn.base.next), "round \(place)")
        let outcome = try writer.outcomeBlocking(of: other, timeout: .seconds(30))
        #expect(outcome.txid == turn.base.next.next)
      }
      #expect(try store.query("SELECT count(*) FROM t") == [[10]])
    }
  }

  /// Somebody always waits on a busy store, so the term behind an unclean end may name its batches for as long
  /// as it lasts.
  @Test("Behind an unclean end, too, what others have submitted comes behind it")
  func watched() throws {
    let store = try store()
    let (mine, others) = (try store.writer(), try store.writer())
    let request = try mine.submitBlocking(Batch(.requestTurn))
    let waiting = try (1...20).map { _ in
      try others.submitBlocking(Batch([.init("INSERT INTO t(v) VALUES('other')")]))
    }
    var options = store.options
    options.beforeBatch = { (_: BatchID) throws(StoreError) in throw StoreError(.io, "killed") }
    #expect(throws: StoreError.self) {
      try Applier(path: store.path, options: options, environment: store.environment)
        .run { false }
    }
    try led(store) { store in
      let base = try mine.outcomeBlocking(of: request, timeout: .seconds(30)).txid
      let turn = Turn(base: base, number: base)
      let pages = try pages(store, turn, "INSERT INTO t(v) VALUES('mine')")
      #expect(
        try JournalTransactions(mine).commit(pages, of: turn, timeout: .seconds(30))
          == .committed(base.next))
      for receipt in waiting { _ = try others.outcomeBlocking(of: receipt, timeout: .seconds(30)) }
      #expect(try store.query("SELECT count(*) FROM t") == [[21]])
    }
  }

  @Test("A term that drains gives turns, too, and ends behind them")
  func drained() throws {
    let store = try store()
    let client = try client(store)
    var options = store.options
    options.drains = true
    let (path, draining, environment) = (store.path, options, store.environment)
    let failure = Monitor<(any Error)?>(nil)
    let isAsked = Atomic(false)
    let work = environment.executor.start {
      do {
        // The request is there before.
        while !isAsked.load(ordering: .relaxed) { environment.clock.sleep(.milliseconds(1)) }
        try Applier(path: path, options: draining, environment: environment).run { false }
      } catch { failure.withLock { $0 = error } }
    }
    let begun = environment.clock.elapsed()
    let granted = try client.requestTurn {
      isAsked.store(true, ordering: .relaxed)
      return environment.clock.elapsed() - begun < .seconds(30)
    }
    let turn = try #require(granted)
    environment.clock.sleep(.milliseconds(200))
    let pages = try pages(store, turn, "INSERT INTO t(v) VALUES('mine')")
    #expect(
      try client.commit(pages, of: turn, timeout: .seconds(10)) == .committed(turn.base.next))
    work.wait()
    if let failure = failure.withLock({ $0 }) { throw failure }
  }

  @Test("Where others are not kept back, it is refused")
  func withoutExclusion() throws {
    try led([.turnExcludes]) { store in
      let client = try client(store)
      let writer = try store.writer()
      let turn = try #require(try turn(client))
      let pages = try pages(store, turn, "INSERT INTO t(v) VALUES('mine')")
      let other = try writer.submitBlocking(Batch([.init("INSERT INTO t(v) VALUES('other')")]))
      _ = try writer.outcomeBlocking(of: other, timeout: .seconds(30))
      let end = try client.commit(pages, of: turn, timeout: .seconds(30))
      #expect(end == .conflict(turn.base.next.next))
    }
  }

  /// A writer that commits pages which do not name the turn that it has.
  private func commitUnnamed(_ omitted: Set<SafetyCheck>) throws -> Outcome {
    var outcome: Outcome?
    try led(omitted) { store in
      let writer = try store.writer()
      let request = try writer.submitBlocking(Batch(.requestTurn))
      let base = try writer.outcomeBlocking(of: request, timeout: .seconds(30)).txid
      let edited = try EditedSnapshot(
        try PageStore(path: store.path, environment: store.environment)
          .snapshot(.atLeast(base, timeout: .seconds(10))))
      try edited.execute("INSERT INTO t(v) VALUES('unnamed')")
      try edited.take()
      let receipt = try writer.submitBlocking(Batch(.commit(try edited.batch())))
      outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(30)).outcome
    }
    return try #require(outcome)
  }

  @Test("While it is out, pages must name it")
  func named() throws {
    #expect(try commitUnnamed([]).rejectionCode == Outcome.Rejection.Code.conflict)
    #expect(try commitUnnamed([.turnNamed]).isApplied)
  }

  @Test("A holder that says nothing costs the others its time, once")
  func deadHolder() throws {
    try led { store in
      let dead = try client(store)
      let began = store.environment.clock.elapsed()
      let turn = try #require(try turn(dead))
      let pages = try pages(store, turn, "INSERT INTO t(v) VALUES('late')")
      let writer = try store.writer()
      let receipt = try writer.submitBlocking(Batch([.init("INSERT INTO t(v) VALUES('other')")]))
      _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60))
      let took = store.environment.clock.elapsed() - began
      #expect(took > Limits.turnTime / 2)
      #expect(took < Limits.turnTime * 3 * TestStore.patience)
      // The late holder does not beat who came after it.
      let end = try dead.commit(pages, of: turn, timeout: .seconds(30))
      #expect(end == .conflict(turn.base.next.next))
      #expect(try store.query("SELECT v FROM t") == [["other"]])
    }
  }

  @Test("Who has it is read however much of others waits")
  func crowded() throws {
    try led { store in
      let client = try client(store)
      let writer = try store.writer()
      let large = Batch([
        .init("INSERT INTO t(v) VALUES(?)", [.blob([UInt8](repeating: 1, count: 60_000_000))])
      ])
      let turn = try #require(try turn(client))
      let receipt = Monitor<Result<Receipt, any Error>?>(nil)
      let submit = store.environment.executor.start {
        let result = Result { try writer.submitBlocking(large) }
        receipt.withLock { $0 = result }
      }
      // It lies in the journal for longer than a turn lasts without a sign of life that is read.
      let clock = store.environment.clock
      var submitted: Duration?
      while submitted.map({ clock.elapsed() - $0 < Limits.turnTime * 3 / 2 }) ?? true {
        clock.sleep(.milliseconds(100))
        client.extend(turn)
        if submitted == nil, receipt.withLock({ $0 != nil }) { submitted = clock.elapsed() }
      }
      submit.wait()
      let pages = try pages(store, turn, "INSERT INTO t(v) VALUES('mine')")
      #expect(
        try client.commit(pages, of: turn, timeout: .seconds(30)) == .committed(turn.base.next))
      let other = try #require(receipt.withLock { $0 }).get()
      _ = try writer.outcomeBlocking(of: other, timeout: .seconds(60))
      #expect(try store.query("SELECT count(*) FROM t") == [[2]])
    }
  }

  @Test("A sign of life extends it, and what gives it back ends it at once")
  func extended() throws {
    try led { store in
      let client = try client(store)
      let first = try #require(try turn(client))
      let clock = store.environment.clock
      let writer = try store.writer()
      let other = try writer.submitBlocking(Batch([.init("INSERT INTO t(v) VALUES('other')")]))
      let began = clock.elapsed()
      while clock.elapsed() - began < Limits.turnTime * 2 {
        clock.sleep(.milliseconds(300))
        client.extend(first)
      }
      let pages = try pages(store, first, "INSERT INTO t(v) VALUES('mine')")
      #expect(
        try client.commit(pages, of: first, timeout: .seconds(30)) == .committed(first.base.next))
      _ = try writer.outcomeBlocking(of: other, timeout: .seconds(30))
      #expect(try store.query("SELECT v FROM t ORDER BY id") == [["mine"], ["other"]])
      let second = try #require(try turn(client))
      let begun = clock.elapsed()
      client.cancel(second)
      let next = try writer.submitBlocking(Batch([.init("INSERT INTO t(v) VALUES('next')")]))
      _ = try writer.outcomeBlocking(of: next, timeout: .seconds(30))
      #expect(clock.elapsed() - begun < Limits.turnTime * TestStore.patience)
    }
  }
}
