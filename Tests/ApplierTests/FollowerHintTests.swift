import SluiceFakes
import SluiceHints
import SluiceJournal
import SluiceReader
import SluiceShared
import Testing

@testable import SluiceApplier

/// A leader that does nothing, and hints that say otherwise. The wait moves the clock.
@Suite("Who follows is told what the beacon says, and not what a hint does")
struct FollowerHintTests {
  private let store: TestStore
  private let clock = ManualClock(wall_ms: SystemClock().wallTime_ms())

  init() throws { store = try TestStore() }

  private func leader() throws -> (Applier, Leader) {
    var (options, environment) = (store.options, store.environment)
    options.hints = .loopback
    (environment.clock, environment.hints) = (clock, DeafNetwork())
    let applier = try Applier(path: store.path, options: options, environment: environment)
    guard case .leads(let leader) = try applier.look() else {
      throw StoreError(.notLeading, "nobody leads")
    }
    leader.begin { false }
    return (applier, leader)
  }

  @Test(arguments: [false, true]) func whoFollowsIsToldWhatTheBeaconSays(isHintBelieved: Bool)
    throws
  {
    let (_, leader) = try leader()
    let network = AnsweringNetwork(try #require(leader.desk).endpoint, clock) {}
    var environment = store.environment
    (environment.clock, environment.hints) = (clock, network)
    if isHintBelieved { environment.omittedChecks = [.lookAfterNews] }
    let news = try NewsWait(path: store.path, environment: environment)
    let published = leader.publisher.publishedTxID.txid
    let told = news.wait(behind: published, atMost: .seconds(3))
    #expect(told == (isHintBelieved ? TxID(99) : nil))
  }
}

private struct DeafNetwork: HintNetwork {
  final class Socket: HintSocket {
    var address: HintAddress { HintAddress(high: 127 << 56 | 1 << 32, port: 7400) }
    func send(_ bytes: [UInt8], to address: HintAddress) {}
    func receive(atMost limit: Duration) -> HintDatagram? { nil }
    func interrupt() {}
    func takeInterrupt() -> Bool { false }
  }

  var loopback: UInt64 { 7 }
  func open(at address: HintAddress) throws(StoreError) -> any HintSocket { Socket() }
}

/// The way to a leader that works while somebody waits, and answers.
private final class AnsweringNetwork: HintNetwork, HintSocket, @unchecked Sendable {
  // Sendable: `work` is called by the thread of the test only.
  struct State {
    var publishes = true
    var asked = 0
    var questions: [Hint] = []
    var answers: [Hint] = []
  }

  let state = Monitor(State())
  private let endpoint: HintEndpoint
  private let clock: ManualClock
  private let work: () throws -> Void

  init(_ endpoint: HintEndpoint, _ clock: ManualClock, _ work: @escaping () throws -> Void) {
    (self.endpoint, self.clock, self.work) = (endpoint, clock, work)
  }

  var loopback: UInt64 { 7 }
  var address: HintAddress { .loopback }
  func open(at address: HintAddress) throws(StoreError) -> any HintSocket { self }

  func send(_ bytes: [UInt8], to address: HintAddress) {
    guard let hint = Hint(bytes, sealedWith: endpoint.token), hint.kind.isQuestion else { return }
    state.withLock { state in
      state.asked += 1
      // As the leader does, who answers the first one when it has something to say.
      if state.questions.contains(hint) {
        state.answers.append(Hint(.heard, nonce: hint.nonce, batch: hint.batch))
      } else {
        state.questions.append(hint)
      }
    }
  }

  func receive(atMost limit: Duration) -> HintDatagram? {
    if let answer = state.withLock({ $0.answers.isEmpty ? nil : $0.answers.removeFirst() }) {
      return HintDatagram(answer.sealed(with: endpoint.token), from: endpoint.address)
    }
    guard limit > .zero else { return nil }
    let question = state.withLock { state in
      state.publishes && !state.questions.isEmpty ? state.questions.removeFirst() : nil
    }
    guard let question, (try? work()) != nil else {
      clock.sleep(limit)
      return nil
    }
    // The TxID is none that there is.
    let answer = Hint(
      .published, nonce: question.nonce, batch: question.batch, txid: TxID(99))
    return HintDatagram(answer.sealed(with: endpoint.token), from: endpoint.address)
  }

  func interrupt() {}
  func takeInterrupt() -> Bool { false }
}
