internal import Logging
internal import SluiceJournal
package import SluiceLease
public import SluiceShared

/// Applies batches while somebody in this process waits for an outcome and nobody leads: takes the lease,
/// applies what waits, its own and others', and gives the lease back. Where another leads it only looks at the
/// beacon now and then.
///
/// It needs what an applier needs: the rights, a scratch disk, and a worker program where one is named.
/// Usable from any thread; a forked child makes one of its own.
///
/// Looks and leads on one thread, which is there while somebody waits.
public final class Assistant: Assisting, @unchecked Sendable {
  // Sendable: `state` has its lock; what is below it belongs to the one thread that serves.
  private struct State {
    var waiting = 0
    var isServing = false
    var finishers: [Waker<Void>] = []
    var trouble: StoreError?
  }

  private let state = Monitor(State())
  private let layout: StoreLayout
  private let options: ApplierOptions
  private let environment: Environment
  private let isStopped: @Sendable () -> Bool
  private let lease: (() -> any Lease)?

  private var log: Log?
  /// The newest segment when it was last listed.
  private var observed: LogSegment?
  private var turn: AssistantTurn
  /// Made when nobody was seen leading, and kept for the next time.
  private var applier: Applier?

  /// Nothing is opened before somebody waits. Once `isStopped` says so, a term is ended, a group that is
  /// being executed is left to the next one, and nothing more is begun.
  public convenience init(
    store path: String, options: ApplierOptions, environment: Environment = .posix(),
    isStopped: @escaping @Sendable () -> Bool = { false }
  ) {
    self.init(
      store: path, options: options, environment: environment, lease: nil, isStopped: isStopped)
  }

  /// `lease`: in place of those which the store's description names.
  package init(
    store path: String, options: ApplierOptions, environment: Environment = .posix(),
    lease: (() -> any Lease)?, isStopped: @escaping @Sendable () -> Bool = { false }
  ) {
    layout = StoreLayout(path)
    var options = options
    let assistance = options.assistance ?? Assistance()
    options.assistance = assistance
    options.drains = false
    let state = state
    options.isAssistanceWanted = { state.withLock { $0.waiting > 0 } }
    self.options = options
    self.environment = environment
    self.lease = lease
    self.isStopped = isStopped
    turn = AssistantTurn(
      assistance, beat: options.beat, isPaced: environment.makes(.pauseBetweenAssistants))
  }

  // MARK: Who waits

  public func begin() {
    let (starts, finishers) = state.withLock { state in
      state.waiting += 1
      // What they wait for, the last to wait does now.
      defer { (state.isServing, state.finishers) = (true, []) }
      return (!state.isServing, state.finishers)
    }
    for waker in finishers { waker.answer(()) }
    if starts { environment.executor.detach { self.serve() } }
  }

  public func end() {
    state.withLock { $0.waiting -= 1 }
    state.wakeAll()
  }

  public func finish(_ waker: Waker<Void>) {
    let isDone = state.withLock { state in
      guard state.isServing, state.waiting == 0 || isStopped() else { return true }
      state.finishers.append(waker)
      return false
    }
    if isDone { waker.answer(()) }
  }

  public var trouble: StoreError? { state.withLock { $0.trouble } }

  // MARK: The thread

  private func serve() {
    while goesOn() {
      do throws(StoreError) { try look() } catch { failed(error) }
      let limit =
        options.standbyPoll + .milliseconds(Int64(environment.random() % 10))
      _ = environment.clock.wait(on: state, atMost: limit) { $0.waiting == 0 ? () : nil }
    }
  }

  private func goesOn() -> Bool {
    let isStopped = isStopped()
    let finishers: [Waker<Void>]? = state.withLock { state in
      guard state.waiting == 0 || isStopped else { return nil }
      state.isServing = false
      defer { state.finishers = [] }
      return state.finishers
    }
    guard let finishers else { return true }
    for waker in finishers { waker.answer(()) }
    return false
  }

  private func look() throws(StoreError) {
    let log = try openedLog()
    guard let seen = try LeaseObservation.newest(of: log, &observed) else { return }
    if turn.isNews(seen) {
      let survey = try survey(log)
      turn.sees(seen, survey, at: environment.clock.elapsed(), random: environment.random())
    }
    guard turn.mayClaim(at: environment.clock.elapsed()) else { return }
    // Somebody who claims at this moment has its number already.
    observed = nil
    guard var again = try LeaseObservation.newest(of: log, &observed), again == seen else { return }
    again.silence = turn.silence(at: environment.clock.elapsed())
    let isStopped = isStopped
    let round = try ownApplier().assist(after: again, shouldStop: isStopped)
    observed = nil
    let now = environment.clock.elapsed()
    switch round {
    case .notYet: return
    case .lost:
      turn.lost(at: now, random: environment.random())
      // Who leads may do so for long: what stands by here is of no use meanwhile.
      applier = nil
    case .led(let applied):
      turn.done(applied: applied, at: now)
    }
    state.withLock { $0.trouble = nil }
  }

  private func failed(_ error: StoreError) {
    turn.done(applied: false, at: environment.clock.elapsed())
    applier = nil
    observed = nil
    let isNews = state.withLock { state in
      defer { state.trouble = error }
      return state.trouble?.message != error.message
    }
    guard isNews else { return }
    options.logger.warning(
      "nobody leads, and this process cannot apply batches either", metadata: ["reason": "\(error)"]
    )
  }

  private func openedLog() throws(StoreError) -> Log {
    if let log { return log }
    let made = Log(of: try StoreHandle(at: layout, environment))
    log = made
    return made
  }

  private func ownApplier() throws(StoreError) -> Applier {
    if let applier { return applier }
    let made = try Applier(
      path: layout.root, options: options, lease: lease?(), environment: environment)
    applier = made
    return made
  }

  /// What the newest segment and the file server's dates say of a beacon that is new to this process, which
  /// may live for too short a time to find out by waiting.
  private func survey(_ log: Log) throws(StoreError) -> AssistantTurn.Survey {
    var survey = AssistantTurn.Survey()
    let fileSystem = environment.fileSystem
    let names = try fileSystem.list(layout.journal)
    survey.writers = Set(names.compactMap { StoreLayout.journalSegment($0)?.writer }).count
    guard let segment = observed, let beacon = try log.control(of: segment)?.beacon else {
      survey.term = .zero
      return survey
    }
    // Segment 1 is `init`'s, which was no term.
    if segment.number > 1 {
      survey.term = .milliseconds(
        beacon.time_ms.subtractingReportingOverflow(segment.header.created_ms).partialValue)
    }
    // A writer's new segment changed the directory, so this was the file server's time, and before the
    // segment's date is read. That is asked through a new open: a kept one's is stale.
    let server_ms = try fileSystem.status(layout.journal).modified_ms
    guard let written_ms = try? fileSystem.open(segment.file.path, .shared).status().modified_ms
    else { return survey }
    survey.silence = max(
      .zero, .milliseconds(server_ms.subtractingReportingOverflow(written_ms).partialValue))
    return survey
  }
}
