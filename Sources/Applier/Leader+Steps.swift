internal import SluiceJournal
internal import SluiceShared

/// A term in steps: each does what is next and returns, and says what to wait for.
///
/// Nothing in a step waits for news, so that a thread can have turns with many stores (`Fleet`). A step waits for
/// the file server, and one that executes a group for that.
extension Leader {
  /// To the end of the term, on this thread.
  func run(shouldStop: @escaping () -> Bool) throws(StoreError) -> End {
    begin(shouldStop)
    while true {
      switch try step() {
      case .goesOn, .waitsToExecute: continue
      case .rests(let pause): wait(atMost: pause)
      case .ended(let end): return end
      }
    }
  }

  /// What a term does next, behind one of its steps.
  enum Step {
    case goesOn
    /// There are batches, and leave to execute was not given.
    case waitsToExecute
    /// Nothing to do for so long, unless a hint comes or a beacon is written.
    case rests(Duration)
    case ended(End)
  }

  /// Before the first step.
  func begin(_ shouldStop: @escaping () -> Bool) {
    watch(shouldStop)
    intake.serverTime_ms = { [time] in time.serverTime_ms() }
    intake.history = { [unowned self] (writer) throws(StoreError) in
      guard let known = try execution.known(writer) else { return nil }
      return KnownWriter(
        owner: known.owner, sequence: known.sequence, asOf: execution.extent.txid)
    }
  }

  /// Looks into the journal, executes one group at most, beats when that is due. `mayExecute` is asked when
  /// there is a group to be executed.
  func step(mayExecute: () -> Bool = { true }) throws(StoreError) -> Step {
    do throws(StoreError) { return try begunStep(mayExecute) } catch {
      publisher.abandon()
      intake.dropAhead()
      takeBackNames(after: error)
      if error.endsOnlyTheTerm || madeRoom(for: error) {
        return .ended(.deposed(error, executing: status.executing))
      }
      throw error
    }
  }

  private func begunStep(_ mayExecute: () -> Bool) throws(StoreError) -> Step {
    do throws(StoreError) {
      if !hasBegun {
        hasBegun = true
        try intake.lookIntoQuarantine()
        try settle()
      }
      if wasInterrupted {
        // A beacon is written: what it publishes is waited for.
        wasInterrupted = false
        try publisher.wait()
      }
      return try advance(mayExecute)
    } catch {
      // That is an end as asked, for which nobody is to wait a lease.
      guard execution.wasStoppedWhileAsked else { throw error }
      return .ended(try release())
    }
  }

  private func advance(_ mayExecute: () -> Bool) throws(StoreError) -> Step {
    if execution.events.shouldStop() || isAssistanceOver() { return .ended(try release()) }
    intake.waiting.isPlanNamed = status.isWatched
    let found = try pollWhenDue()
    try checkTime()
    if try waitsForTurn() { return .rests(try rest()) }
    if !intake.isIdle {
      guard mayExecute() else {
        try beatWhenDue()
        return .waitsToExecute
      }
      try work()
      return .goesOn
    }
    if found {
      // There may be more of what is nobody's batch, or in the history, than can be looked at within
      // a lease.
      try beatWhenDue()
      removePublished()
      if hasLookedAround { try keepHouse() }
      return .goesOn
    }
    if status.isWatched, intake.isComplete { status.clear() }
    if options.drains, !intake.isRetiring {
      try publisher.wait()
      if removePublished() {
        try beatWhenDue()
        return .goesOn
      }
      try keepHouse()
      return .ended(try release())
    }
    return .rests(try rest())
  }
}
