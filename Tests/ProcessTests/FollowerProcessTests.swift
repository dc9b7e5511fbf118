import Glibc
import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@Suite("Who follows the history gets each batch once, in order, and is told what is gone")
struct FollowerProcessTests {
  /// Waits for a state. The limit only ends what hangs.
  private func waitFor(_ what: String, _ condition: () throws -> Bool) throws {
    try wait(what, atMost: 240, condition)
  }

  // MARK: over takeovers and rotations

  @Test("Over appliers that are killed and segments that are full", arguments: [false, true])
  func goesOn(rows: Bool) async throws {
    let store = try TestStore()
    let sequence = SequenceFollower(store, rows: rows)
    try await onThread {
      let follower = try CommandFollower(store, rows: rows)
      let load = try BoundedLoad(store)
      func progress(_ what: String) throws {
        let goal = try store.present().extent.txid.advanced(by: 12)
        try waitFor(what) { try follower.last() >= goal && sequence.last >= goal }
      }
      let first = try store.startApplier("first")
      try progress("the first is followed")
      let second = try store.startApplier("second")
      try waitFor("a standby") { try second.errorsSoFar().contains("standing by") }
      // In its work: there is more to be applied.
      try first.kill9()
      try progress("the second is followed")
      #expect(try store.holder() == "second")
      try second.kill9()
      // One whose segments are full soon.
      var options = TestStore.options("third")
      options.segmentBytes = 256 << 10
      let third = try ApplierThread(store, options)
      try waitFor("the third leads") { try store.holder() == "third" }
      let segment = try store.present().segment.number
      try waitFor("rotations") { try store.present().segment.number >= segment + 4 }
      try progress("the third is followed")
      try third.stop()
      let last = try store.startApplier("last")
      try progress("the last is followed")
      let written = load.finish()
      try waitFor("all is followed") {
        try follower.last() == written && sequence.last == written
      }
      last.send(SIGTERM)
      #expect(try last.end().code == 0)
      let told = try follower.end()
      expectWhole(told.steps, store, rows: rows)
      #expect(told.steps.allSatisfy { $0.gap == nil } && told.errors == "", "\(told.errors)")
    }
    await sequence.finish()
    expectWhole(sequence.steps, store, rows: rows)
  }

  /// Every batch of the history once, in order, as it was; where rows are told, the one that it inserted.
  /// As a process is started by one of Swift's worker threads, or by a program that waits for signals.
  @Test("SIGTERM ends one that was started with it blocked")
  func endsThough() throws {
    let store = try TestStore()
    var (blocked, before) = (sigset_t(), sigset_t())
    sigemptyset(&blocked)
    sigaddset(&blocked, SIGTERM)
    pthread_sigmask(SIG_BLOCK, &blocked, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    let follower = try ChildProcess(program, ["log", store.path, "--follow", "--json"])
    follower.send(SIGTERM)
    #expect(try follower.end().code == -SIGTERM)
  }

  private func expectWhole(_ steps: [Step], _ store: TestStore, rows: Bool) {
    do {
      let history = try History(store).batches
      #expect(steps.compactMap(\.batch) == history.map(\.txid))
      #expect(steps.map(\.sequence) == history.map { $0.outcome.batch.sequence.rawValue })
      let inserted = try store.query("SELECT n FROM t ORDER BY id").map { $0[0] }
      if rows { #expect(steps.dropFirst().map(\.inserted) == inserted) }
    } catch {
      Issue.record(error)
    }
  }

  // MARK: over retention

  @Test(
    "Stopped while what it has not read is removed, the command says what is gone",
    arguments: [false, true])
  func stopped(rows: Bool) async throws {
    try await onThread {
      let store = try TestStore()
      let follower = try CommandFollower(store, rows: rows)
      let applier = try ApplierThread(store, Self.forgetful)
      let load = try BoundedLoad(store)
      try waitFor("the follower follows") { try follower.last() > TxID(5) }
      follower.process.send(SIGSTOP)
      try waitFor("it stands still") { ProcessState(of: follower.process.id)?.state == "T" }
      try removeBeyondPresent(store)
      follower.process.send(SIGCONT)
      try waitFor("it goes on") { try follower.steps().contains { $0.gap != nil } }
      let written = load.finish()
      try waitFor("all is followed") { try follower.last() == written }
      let told = try follower.end()
      expectGap(told.steps, upTo: written, rows: rows)
      for gap in told.steps.compactMap(\.gap) {
        #expect(
          told.errors.contains("batches \(gap.lowerBound) to \(gap.upperBound), the last of"),
          "\(told.errors)")
      }
      try applier.stop()
    }
  }

  @Test("Standing still meanwhile, an AsyncSequence says it too", arguments: [false, true])
  func standingStill(rows: Bool) async throws {
    let store = try TestStore()
    let applier = try ApplierThread(store, Self.forgetful)
    let load = try BoundedLoad(store)
    let sequence = SequenceFollower(store, rows: rows)
    try await onThread {
      try waitFor("the sequence is followed") { sequence.last > TxID(5) }
      sequence.standStill()
      try removeBeyondPresent(store)
      sequence.goOn()
      try waitFor("it goes on") { sequence.steps.contains { $0.gap != nil } }
      let written = load.finish()
      try waitFor("all is followed") { sequence.last == written }
      try applier.stop()
      expectGap(sequence.steps, upTo: written, rows: rows)
    }
    await sequence.finish()
  }

  /// One that keeps as little as there can be.
  private static var forgetful: ApplierOptions {
    var options = TestStore.options("forgetful")
    options.segmentBytes = 256 << 10
    options.checkpointSegments = 1
    options.retention.keep = .milliseconds(1)
    options.retention.checkpoints = 2
    options.retention.readers = .milliseconds(1)
    options.retention.listing = .milliseconds(100)
    options.retention.pause = .milliseconds(100)
    return options
  }

  /// Returns when a segment is removed behind the one that is written now. A follower may have that one open, which
  /// it reads to its end all the same.
  private func removeBeyondPresent(_ store: TestStore) throws {
    let open = try store.present().segment.number
    try waitFor("it is removed") {
      let kept = try store.names(store.layout.log).compactMap(StoreLayout.logNumber)
      let old = try store.names(store.layout.oldLog)
      return try #require(kept.min()) > open + 1 && old.isEmpty
    }
  }

  /// Each batch is told once, in order, or is in what is told to be gone; something is gone, and not all.
  private func expectGap(_ steps: [Step], upTo last: TxID, rows: Bool) {
    var next = TxID(1)
    for step in steps {
      #expect(step.range.lowerBound == next, "\(step)")
      next = step.range.upperBound.next
    }
    #expect(next == last.next)
    #expect(steps.contains { $0.gap != nil } && steps.last?.gap == nil)
    // Where what is kept begins, the state before a batch may be gone.
    if rows { #expect(steps.last?.inserted != nil) }
  }
}

/// What a follower was told at a time.
private struct Step: Sendable {
  var range: ClosedRange<TxID>
  var isGap: Bool
  var sequence: UInt64?
  /// The `n` of the one row that the batch inserted, where rows are told.
  var inserted: SQLValue?

  var gap: ClosedRange<TxID>? { isGap ? range : nil }
  var batch: TxID? { isGap ? nil : range.lowerBound }
}

extension Step {
  /// A line of `log --json`.
  fileprivate init(line: Substring) throws {
    let json = try JSON.parse(String(line))
    func txid(_ value: JSON?) throws -> TxID { TxID(UInt64(try #require(value?.integer))) }
    if let gone = json["gone"] {
      self.init(range: try txid(gone["from"])...txid(gone["to"]), isGap: true)
      return
    }
    let batch = try txid(json["txid"])
    self.init(range: batch...batch, isGap: false)
    sequence = json["sequence"]?.integer.map { UInt64($0) }
    guard case .array(let changes) = json["changed"], changes.count == 1 else { return }
    inserted = changes[0]["new"]?["n"]?.integer.map { .integer($0) }
  }

  fileprivate init(_ event: ChangeFeed.Event) {
    switch event {
    case .gone(let gap): self.init(range: gap.batches, isGap: true)
    case .batch(let entry):
      self.init(range: entry.txid...entry.txid, isGap: false)
      sequence = entry.outcome.batch.sequence.rawValue
    }
  }

  fileprivate init(_ event: RowFeed.Event) {
    switch event {
    case .gone(let gap): self.init(range: gap.batches, isGap: true)
    case .batch(let entry):
      self.init(.batch(entry.batch))
      guard let changes = entry.changes, changes.count == 1 else { return }
      inserted = changes[0].new?.first(where: { $0.name == "n" })?.value
    }
  }
}

/// `sluice log --follow --json` as a process.
private struct CommandFollower {
  let process: ChildProcess

  init(_ store: TestStore, rows: Bool) throws {
    process = try ChildProcess(
      program, ["log", store.path, "--follow", "--json"] + (rows ? ["--rows"] : []))
  }

  private func wholeLines() throws -> [Substring] {
    let output = try process.outputSoFar()
    return output[..<(output.lastIndex(of: "\n") ?? output.startIndex)].split(separator: "\n")
  }

  func steps() throws -> [Step] { try wholeLines().map { try Step(line: $0) } }

  func last() throws -> TxID {
    try wholeLines().last.map { try Step(line: $0).range.upperBound } ?? .zero
  }

  func end() throws -> (steps: [Step], errors: String) {
    let steps = try steps()
    return (steps, try process.kill9().errors)
  }
}

/// An `AsyncSequence` that is followed by a task.
private final class SequenceFollower: Sendable {
  private struct State {
    var steps: [Step] = []
    var stands = false
    var failure: (any Error)?
  }

  private let state: Monitor<State>
  private let task: Task<Void, Never>

  init(_ store: TestStore, rows: Bool) {
    let (state, path) = (Monitor(State()), store.path)
    self.state = state
    task = Task {
      do {
        if rows {
          for try await event in RowFeed.events(path: path, follows: true) {
            await SequenceFollower.take(Step(event), state)
          }
        } else {
          for try await event in ChangeFeed.events(path: path, follows: true) {
            await SequenceFollower.take(Step(event), state)
          }
        }
      } catch {
        state.withLock { $0.failure = error }
      }
    }
  }

  deinit { task.cancel() }

  private static func take(_ step: Step, _ state: Monitor<State>) async {
    state.withLock { $0.steps.append(step) }
    while state.withLock({ $0.stands }), !Task.isCancelled {
      try? await Task.sleep(for: .milliseconds(5))
    }
  }

  var steps: [Step] { state.withLock { $0.steps } }
  var last: TxID { state.withLock { $0.steps.last?.range.upperBound ?? .zero } }
  /// It asks for nothing more before `goOn`; what it has asked for may come.
  func standStill() { state.withLock { $0.stands = true } }
  func goOn() { state.withLock { $0.stands = false } }

  func finish() async {
    task.cancel()
    await task.value
    let failure = state.withLock { $0.failure }
    #expect(failure == nil)
  }
}

/// Submits rows that fill segments, and never many more than are applied.
private final class BoundedLoad: Sendable {
  private struct State {
    var shouldStop = false
    var written: TxID?
  }

  /// So many batches wait at most.
  static let ahead = 8

  private let state = Monitor(State())

  init(_ store: TestStore) throws {
    let writer = try store.writer()
    startThread { [state] in
      var written = TxID(1)
      while !state.withLock({ $0.shouldStop }) {
        do {
          pause(5)
          let applied = try store.present().extent.txid
          guard written < applied.advanced(by: UInt64(Self.ahead)) else { continue }
          let row = Batch.Statement(
            "INSERT INTO t(w, n, x) VALUES (0, ?, randomblob(12000))",
            [.integer(Int64(written.rawValue))])
          _ = try writer.submitBlocking(Batch([row]))
          written = written.next
        } catch {
          Issue.record(error)
          break
        }
      }
      writer.closeBlocking()
      state.withLock { $0.written = written }
      state.wakeAll()
    }
  }

  deinit { state.withLock { $0.shouldStop = true } }

  /// The last batch.
  func finish() -> TxID {
    state.withLock { $0.shouldStop = true }
    return state.wait { $0.written }
  }
}
