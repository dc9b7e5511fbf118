import ArgumentParser
import BenchmarkSupport
import Glibc
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceWriter

/// How a worker submits.
enum Habit: String, CaseIterable, ExpressibleByArgument {
  /// One batch after the other.
  case single
  /// Several at once, which go into one frame.
  case several
  /// From three threads, which share flushes.
  case threads
  /// With a writer of their own for a few batches each.
  case once
}

/// Submits batches; notes what it is about to submit and what it was told, so that its own end
/// takes nothing of that away.
struct WorkerRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "worker", shouldDisplay: false)
  @OptionGroup var options: RoleOptions
  @Argument var number: Int
  @Argument var seed: UInt64
  @Argument var habit: Habit
  @Argument var batches: Int

  func run() throws {
    let (environment, notes, script) = try options.begin()
    do throws(StoreError) {
      let worker = try Worker(self, environment, notes)
      switch habit {
      case .single: try worker.submitSingly()
      case .several: try worker.submitSeveral()
      case .threads: worker.submitFromThreads()
      case .once: try worker.submitOnce()
      }
      try worker.finish()
      notes.write("complete")
    } catch {
      notes.write("error \(error)")
    }
    script.tell()
  }
}

private final class Worker: Sendable {
  private let role: WorkerRole
  private let environment: Environment
  private let notes: Notes
  private let writer: Writer
  private let state: Monitor<State>

  private struct State {
    var mix: DeedMix
    var random: SeededRandom
    var submissions = 0
    var open: [(submission: Int, receipt: Receipt)] = []
  }

  /// Longer than any takeover here, also where the disk is busy with others' work for seconds.
  private static let patience = Duration.seconds(15)

  init(_ role: WorkerRole, _ environment: Environment, _ notes: Notes) throws(StoreError) {
    self.role = role
    self.environment = environment
    self.notes = notes
    writer = try Writer(store: role.options.store, environment: environment)
    state = Monitor(
      State(
        mix: DeedMix(worker: role.number, seed: role.seed),
        random: SeededRandom(seed: role.seed &+ 1)))
  }

  // MARK: habits

  func submitSingly() throws(StoreError) {
    for i in 1...role.batches {
      submit()
      // Now and then it wants to know before it goes on.
      if i % 8 == 0 { try learn(atMost: Self.patience) }
    }
  }

  func submitFromThreads() {
    environment.executor.concurrently(3) { _ in
      for _ in 0..<role.batches / 3 { submit() }
    }
  }

  func submitSeveral() throws(StoreError) {
    for _ in 0..<role.batches / 4 {
      let taken = (0..<4).map { _ in next() }
      note(writer.submitBlocking(taken.map(\.1.batch)), of: taken.map(\.0))
      rest()
    }
  }

  func submitOnce() throws(StoreError) {
    for _ in 0..<max(1, role.batches / 4) {
      let taken = (0..<2).map { _ in next() }
      let (writer, results) = try Writer.submitOnce(
        store: role.options.store, taken.map(\.1.batch), environment: environment)
      note(results, of: taken.map(\.0), follow: false)
      for ((submission, _), result) in zip(taken, results) {
        guard case .success(let receipt) = result else { continue }
        guard let outcome = try? writer.outcomeBlocking(of: receipt, timeout: Self.patience) else {
          continue
        }
        tell(submission, outcome)
      }
    }
  }

  /// Waits for what is not known yet; half of the workers leave without ending their segment.
  func finish() throws(StoreError) {
    try learn(atMost: Self.patience)
    if role.seed % 2 == 0 { writer.closeBlocking() }
  }

  // MARK: submitting

  /// The next deed, noted as about to be submitted.
  private func next() -> (Int, Deed) {
    state.withLock { state in
      state.submissions += 1
      let deed = state.mix.next()
      notes.write("submit \(state.submissions) \(deed.line)")
      if role.options.sabotage == .earlyAcknowledgement {
        notes.write("durable \(state.submissions) \(WriterID(high: 1, low: 1)) 1")
      }
      return (state.submissions, deed)
    }
  }

  private func submit() {
    let (submission, deed) = next()
    let result = Result { () throws(StoreError) in try writer.submitBlocking(deed.batch) }
    note([result], of: [submission])
    rest()
  }

  private func note(
    _ results: [Result<Receipt, StoreError>], of submissions: [Int], follow: Bool = true
  ) {
    for (submission, result) in zip(submissions, results) {
      switch result {
      case .success(let receipt):
        notes.write("durable \(submission) \(receipt.batch.writer) \(receipt.batch.sequence)")
        if follow { state.withLock { $0.open.append((submission, receipt)) } }
      case .failure(let error) where error.code == .outcomeUnknown:
        let name = error.batch.map { "\($0.writer) \($0.sequence)" } ?? "- -"
        notes.write("unknown \(submission) \(name) \(error)")
      case .failure(let error): notes.write("refused \(submission) \(error)")
      }
    }
  }

  /// Up to some milliseconds, so that all processes' work mixes.
  private func rest() {
    let pause = state.withLock { $0.random.below(3) == 0 ? $0.random.below(6000) : 0 }
    if pause > 0 { usleep(UInt32(pause)) }
  }

  // MARK: outcomes

  /// Outcomes of what is open, as far as they come.
  private func learn(atMost limit: Duration) throws(StoreError) {
    let open = state.withLock { state in
      defer { state.open = [] }
      return state.open
    }
    let end = environment.clock.elapsed() + limit
    for (submission, receipt) in open {
      let left = end - environment.clock.elapsed()
      guard left > .zero else { return notes.write("error no outcome of \(receipt.batch)") }
      tell(submission, try writer.outcomeBlocking(of: receipt, timeout: left))
    }
  }

  private func tell(_ submission: Int, _ outcome: AppliedOutcome) {
    let told = ToldOutcome(txid: outcome.txid, outcome.outcome)
    notes.write("outcome \(submission) \(told.txid) \(told.verdict)")
  }
}
