internal import Glibc
internal import SluiceJournal
internal import SluiceShared

/// Sees to it that a connection's transactions are applied where nobody leads: starts the command, as
/// `sluice apply --drain`, which gives the turn, takes the pages, and ends. It has ended, and given the lease back,
/// when the statement returns that waited.
///
/// It makes no thread: who waits looks whether anybody leads.
final class CommandAssistant: Assisting {
  private struct State {
    var applier: DrainingApplier?
    /// When the next look is due (boot time).
    var nextLook: Duration = .zero
    var trouble: StoreError?
  }

  private let state = Monitor(State())
  private let layout: StoreLayout
  private let environment = Environment.withoutThreads
  private let forks = forksOfProcess()

  /// Between two looks whether somebody leads, and two starts of the command that came to nothing.
  private static let pause = Duration.milliseconds(100)
  private static let pauseAfterTrouble = Duration.seconds(1)

  init(store root: String) { layout = StoreLayout(root) }

  /// A child inherits neither its parent's applier, nor locks that nobody gives back.
  private var isOfThisProcess: Bool { forks == forksOfProcess() }

  deinit {
    guard isOfThisProcess else { return }
    state.withLock { $0.applier?.end() }
  }

  /// What `SLUICE_COMMAND` names, or the command in PATH.
  private static var program: String {
    guard let named = getenv("SLUICE_COMMAND") else { return "sluice" }
    return String(cString: named)
  }

  func begin() { state.withLock { $0.trouble = nil } }
  func end() {}

  func goOn() {
    state.withLock { state in
      let now = environment.clock.elapsed()
      guard now >= state.nextLook else { return }
      state.nextLook = now + Self.pause
      do throws(StoreError) { try look(&state) } catch {
        state.trouble = error
        state.nextLook = now + Self.pauseAfterTrouble
      }
    }
  }

  private func look(_ state: inout State) throws(StoreError) {
    if let applier = state.applier {
      guard applier.hasEnded else { return }
      state.applier = nil
      try applier.finish(within: Limits.applierEnd)
    }
    guard try !isLed() else { return }
    state.applier = try DrainingApplier(store: layout.root, program: Self.program)
    state.trouble = nil
  }

  /// Whether an applier leads, as far as its beacon says.
  private func isLed() throws(StoreError) -> Bool {
    let beacon = try Log(of: StoreHandle(at: layout, environment)).present().beacon
    let age_ms = environment.clock.wallTime_ms().subtractingReportingOverflow(beacon.time_ms)
      .partialValue
    return beacon.state == .active && age_ms <= beacon.status.longestSilence_ms
  }

  func finish(_ waker: Waker<Void>) {
    let applier = state.withLock { state in
      state.nextLook = .zero
      defer { state.applier = nil }
      return state.applier
    }
    applier?.end()
    waker.answer(())
  }

  var trouble: StoreError? { state.withLock { $0.trouble } }
}
