import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceWriter

@Suite("A writer id goes from state to state as its file says, and in no other way")
struct IdentityStateTests {
  private let clock = ManualClock()
  private var environment: Environment {
    var environment = Environment.posix()
    environment.clock = clock
    return environment
  }

  private func group(_ first: UInt64, count: Int, written: Bool) throws -> BatchGroup {
    let store = try TestStore()
    var group = try BatchGroup(
      first: SequenceNumber(first), [[UInt8]](repeating: [1, 0, 0, 0, 7], count: count),
      Compressor())
    guard written else { return group }
    let header = JournalSegmentHeader(
      store: store.id,
      id: JournalSegmentID(writer: WriterID(time_ms: 0, random: { 1 }), number: 1),
      nonce: 1, firstSequence: group.first, predecessor: nil, created_ms: 0)
    let segment = try OwnSegment(header, size: 65536, in: store.layout, environment)
    _ = group.willBeWritten(to: segment, clock)
    return group
  }

  private func name(_ identity: WriterIdentity) -> String {
    switch identity.state {
    case .none: "none"
    case .fresh: "fresh"
    case .old: "old"
    case .inDoubt: "in doubt"
    case .forgotten: "forgotten"
    }
  }

  private func old(_ identity: inout WriterIdentity) -> Bool { identity.isOld(at: clock) }

  @Test func takenItIsFreshAndGrowsOldOnce() {
    var identity = WriterIdentity()
    #expect(name(identity) == "none")
    #expect(!old(&identity))
    _ = identity.take(environment)
    #expect(name(identity) == "fresh")
    clock.advance(Limits.writerAge)
    #expect(!old(&identity))
    clock.advance(.milliseconds(1))
    #expect(old(&identity))
    #expect(name(identity) == "old")
    identity.renew()
    #expect(name(identity) == "none")
  }

  @Test func inDoubtItNamesNothingNewAndIsNotOld() throws {
    var identity = WriterIdentity()
    _ = identity.take(environment)
    identity.doubt(try group(1, count: 3, written: true))
    #expect(name(identity) == "in doubt")
    #expect(identity.journal?.next == SequenceNumber(4))
    #expect(identity.doubtful?.end == SequenceNumber(4))
    clock.advance(Limits.writerAge * 2)
    #expect(!old(&identity))
    // Settled it is what its age makes of it.
    identity.settle(at: clock)
    #expect(name(identity) == "old")
    #expect(identity.journal?.next == SequenceNumber(4))
  }

  @Test func forgottenItKeepsNothingAndTheNextIsDatedByTheServer() throws {
    var identity = WriterIdentity()
    let first = identity.take(environment)
    let ahead = clock.wallTime_ms() + 86_400_000
    identity.see(ahead)
    identity.doubt(try group(1, count: 1, written: true))
    identity.forget()
    #expect(name(identity) == "forgotten")
    #expect(identity.journal == nil && identity.doubtful == nil)
    // What may have landed under it stays in doubt for its caller only.
    identity.doubt(try group(2, count: 1, written: true))
    #expect(name(identity) == "forgotten")
    let second = identity.take(environment)
    #expect(second.writer > first.writer && second.next == SequenceNumber(1))
    #expect(second.heard_ms == ahead)
    #expect(name(identity) == "fresh")
  }

  @Test func anotherProcessHasNoJournal() {
    var identity = WriterIdentity()
    let own = identity.take(environment)
    #expect(identity.journal(of: own.process) != nil)
    #expect(identity.journal(of: own.process + 1) == nil)
  }

  @Test func whatWasNeverWrittenIsNotInDoubt() async {
    await #expect(processExitsWith: .failure) {
      let tests = IdentityStateTests()
      var identity = WriterIdentity()
      _ = identity.take(tests.environment)
      identity.doubt(try tests.group(1, count: 1, written: false))
    }
  }

  @Test func nothingIsNamedTwice() async {
    await #expect(processExitsWith: .failure) {
      let tests = IdentityStateTests()
      var identity = WriterIdentity()
      _ = identity.take(tests.environment)
      identity.pass(try tests.group(1, count: 2, written: true))
      identity.pass(try tests.group(2, count: 1, written: true))
    }
  }

  @Test func nothingNewIsWrittenBeforeWhatIsInDoubt() async {
    await #expect(processExitsWith: .failure) {
      let tests = IdentityStateTests()
      var identity = WriterIdentity()
      _ = identity.take(tests.environment)
      identity.doubt(try tests.group(1, count: 1, written: true))
      identity.pass(try tests.group(2, count: 1, written: true))
    }
  }
}

@Suite("A baton is held by one at a time")
struct BatonTests {
  @Test func oneTakesIt() {
    var baton = Baton()
    func take() -> Bool { baton.take() }
    let mailbox = Mailbox<Int>()
    #expect(take())
    #expect(!take())
    guard case .thread(let next) = baton.pass(to: .thread(mailbox)), next === mailbox else {
      return #expect(Bool(false), "it goes to whom it is passed")
    }
    #expect(baton.isHeld)
    #expect(!take())
    _ = baton.pass(to: Runner<Int>.nobody)
    #expect(!baton.isHeld)
    #expect(take())
    baton.layDown()
    #expect(!baton.isHeld)
  }

  @Test func aFreeOneIsNotLaidDown() async {
    await #expect(processExitsWith: .failure) {
      var baton = Baton()
      baton.layDown()
    }
  }
}
