import SluiceFakes
import SluiceHints
import SluiceLease
import SluiceShared
import Testing

@testable import SluiceApplier

/// A leader and a standby in one thread, on a clock that a test moves.
@Suite("A standby rests while the leader keeps its word, and looks when it does not")
struct StandbyRestTests {
  private let store: TestStore
  private let clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
  private static let lease = Duration.seconds(10)

  init() throws {
    store = try TestStore()
    store.options.leaseTime = Self.lease
    store.options.standbyPoll = .milliseconds(200)
    try store.apply("CREATE TABLE t(a)")
  }

  private func applier(
    _ name: String, lease: (any Lease)? = nil, hints: any HintNetwork = NoHints(),
    without omitted: Set<SafetyCheck> = []
  ) throws -> Applier {
    var (options, environment) = (store.options, store.environment)
    options.holder = name
    environment.clock = clock
    environment.hints = hints
    environment.omittedChecks = omitted
    return try Applier(
      path: store.path, options: options, lease: lease, environment: environment)
  }

  private func beat(of standby: Applier) throws -> Applier.Beat? {
    guard case .rests(_, let beat, _) = try standby.look() else { return nil }
    return beat
  }

  /// Leads, and rests for that long.
  private func leader(resting time: Duration) throws -> (Applier, Leader) {
    let applier = try applier("leader")
    guard case .leads(let leader) = try applier.look() else {
      throw StoreError(.notLeading, "nobody leads")
    }
    leader.begin { false }
    let end = clock.elapsed() + time
    while clock.elapsed() < end {
      switch try leader.step() {
      case .goesOn, .waitsToExecute: continue
      case .rests(let pause): clock.sleep(max(.milliseconds(1), pause))
      case .ended: throw StoreError(.notLeading, "the term ended")
      }
    }
    return (applier, leader)
  }

  @Test("A beat is awaited for a quarter longer than its leader said, and is late then")
  func lateness() throws {
    let (_, leader) = try leader(resting: .seconds(120))
    // Two fifths of the lease: one may fail, and the next is in time.
    #expect(leader.restingBeat(clock.elapsed()) == Self.lease * 2 / 5)
    let standby = try applier("standby")
    #expect(try beat(of: standby) == .new)
    let seen = clock.elapsed()
    let said = try #require(standby.standing.beat?.seen.nextBeat)
    #expect(said == Self.lease * 2 / 5)
    for (since, expected) in [
      (Duration.milliseconds(1), Applier.Beat.awaited), (said, .awaited),
      (said * 5 / 4, .awaited), (said * 5 / 4 + .milliseconds(1), .late),
    ] {
      clock.sleep(seen + since - clock.elapsed())
      #expect(try beat(of: standby) == expected, "\(since) behind the beat")
    }
    // It goes on.
    while try beat(of: standby) != .new {
      if case .rests(let pause) = try leader.step() { clock.sleep(max(.milliseconds(1), pause)) }
      guard clock.elapsed() - seen < .seconds(60) else { break }
    }
    #expect(clock.elapsed() - seen < .seconds(60))
  }

  @Test("Beats are the further apart the longer it is quiet, and never two fifths of the lease")
  func pauses() throws {
    let (_, leader) = try leader(resting: .zero)
    let began = leader.lastWork
    for (quiet, beat) in [
      (Duration.zero, store.options.beat), (.seconds(16), .seconds(2)), (.seconds(24), .seconds(3)),
      (.seconds(3600), .seconds(4)),
    ] {
      #expect(leader.restingBeat(began + quiet) == max(store.options.beat, beat), "\(quiet)")
    }
  }

  // MARK: with hints

  /// A leader's end of hints, which answers as a test says.
  private final class Answering: HintNetwork, HintSocket, Sendable {
    let endpoint = HintEndpoint(
      address: HintAddress(high: 127 << 56 | 1 << 32, port: 7400),
      token: Identifier128(high: 1, low: 2), loopback: 7)
    let clock: ManualClock
    let state: Monitor<(kinds: [Hint.Kind?], asked: Int, answers: [[UInt8]])>

    /// `kinds`: the answers to one question after the other, the last one to all others; nil: none.
    init(_ clock: ManualClock, _ kinds: [Hint.Kind?]) {
      self.clock = clock
      state = Monitor((kinds, 0, []))
    }

    var loopback: UInt64 { 7 }
    var address: HintAddress { .loopback }
    func open(at address: HintAddress) throws(StoreError) -> any HintSocket { self }
    func send(_ bytes: [UInt8], to address: HintAddress) {
      guard let question = Hint(bytes, sealedWith: endpoint.token) else { return }
      state.withLock { state in
        let kind = state.kinds[min(state.asked, state.kinds.count - 1)]
        state.asked += 1
        guard let kind else { return }
        state.answers.append(Hint(kind, nonce: question.nonce).sealed(with: endpoint.token))
      }
    }
    func receive(atMost limit: Duration) -> HintDatagram? {
      let answer = state.withLock { $0.answers.isEmpty ? nil : $0.answers.removeFirst() }
      if let answer { return HintDatagram(answer, from: endpoint.address) }
      clock.sleep(limit)
      return nil
    }
    func interrupt() {}
    func takeInterrupt() -> Bool { false }
  }

  private func rest(
    _ beat: Applier.Beat, _ answers: [Hint.Kind?], _ lease: (any Lease)? = nil
  ) throws -> Duration {
    let network = Answering(clock, answers)
    let standby = try applier("standby", lease: lease, hints: network)
    standby.line.aim(at: network.endpoint)
    let began = clock.elapsed()
    standby.rest(.milliseconds(200), beat) { false }
    return clock.elapsed() - began
  }

  @Test("Who is answered looks at the beacon in three fifths of a lease, and at once at a release")
  func answered() throws {
    for beat in [Applier.Beat.new, .awaited] {
      let took = try rest(beat, [.heard])
      #expect(took >= Self.lease * 3 / 5 && took < Self.lease * 3 / 5 + .milliseconds(250))
    }
    #expect(try rest(.awaited, [.released]) < .milliseconds(200))
  }

  @Test(
    "A hint that the term has ended is a reason to look, and none to claim",
    arguments: [false, true])
  func release(isBelieved: Bool) throws {
    let (_, leader) = try leader(resting: .zero)
    let network = Answering(clock, [.released])
    let standby = try applier(
      "standby", hints: network, without: isBelieved ? [.lookAfterRelease] : [])
    #expect(try beat(of: standby) == .new)
    standby.line.aim(at: network.endpoint)
    standby.rest(.milliseconds(200), .new) { false }
    guard case .leads = try standby.look() else {
      #expect(!isBelieved)
      _ = try leader.step()
      return
    }
    #expect(isBelieved)
  }

  @Test("Who is not answered, or whose leader is late, looks as often as without hints")
  func unanswered() throws {
    #expect(try rest(.late, [.heard]) == .milliseconds(200))
    // The leader's host died behind an answer: some questions go unanswered first.
    #expect(try rest(.awaited, [nil]) < .seconds(1))
    #expect(try rest(.awaited, [.heard, nil]) < .seconds(3))
  }

  @Test("An item in a table is looked at once in a lease by who is answered")
  func table() throws {
    let item = TableLease(
      NoTable(), duration: Self.lease, name: "standby", environment: store.environment
    ) { _ in }
    let took = try rest(.awaited, [.heard], item)
    #expect(took >= Self.lease && took < Self.lease + .milliseconds(250))
    #expect(try rest(.awaited, [nil], item) < .seconds(1))
  }

  private struct NoTable: LockTable {
    func perform(_ request: LockRequest, atMost limit: Duration) -> Result<LockAnswer, LockFailure>
    {
      .failure(LockFailure(isPassing: true, "no table"))
    }
  }
}
