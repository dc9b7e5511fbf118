import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceHints

/// What a desk sends for what it gets, whoever knows its token and asks what it likes.
@Suite("No answer is larger than its question, and a datagram has two at most")
struct HintAnswerTests {
  private let network = CountedNetwork()
  private let desk: HintDesk

  init() throws {
    var environment = Environment.posix()
    (environment.clock, environment.hints) = (ManualClock(), network)
    desk = try HintDesk(at: .loopback, environment)
    desk.begin(TxID(10))
  }

  private static let writer = WriterID(high: 7, low: 8)

  private func send(_ hint: Hint, from sender: HintAddress) {
    network.socket.arrives(hint.sealed(with: desk.endpoint.token), from: sender)
    desk.take()
  }

  /// The next batch is read, executed and published.
  private func publish(_ number: UInt64) {
    let batch = BatchID(writer: Self.writer, sequence: SequenceNumber(number))
    desk.found(batch)
    desk.executed(batch, in: TxID(10 + number))
    desk.published(TxID(10 + number))
  }

  private func hint(_ kind: Hint.Kind, _ number: UInt64, nonce: UInt64) -> Hint {
    Hint(
      kind, nonce: nonce,
      batch: BatchID(writer: Self.writer, sequence: SequenceNumber(number)),
      txid: TxID(9 + number))
  }

  @Test(arguments: [Hint.Kind.question, .standby, .follower], 1...5)
  func eachTimeThatItIsAskedHasOneAnswer(_ kind: Hint.Kind, _ times: Int) {
    for _ in 0..<times { send(hint(kind, 1, nonce: 5), from: .loopback) }
    publish(1)
    desk.released()
    publish(2)
    desk.released()
    // One more says to a standby that the term has ended, to a follower that there is more.
    #expect(network.socket.sent.count == times + (kind == .question ? 0 : 1))
    #expect(network.socket.sent.allSatisfy { $0.bytes.count == Limits.hintBytes })
  }

  @Test(arguments: [Hint.Kind.written, .full, .heard, .published, .released])
  func whatIsNoQuestionHasNone(_ kind: Hint.Kind) {
    send(hint(kind, 1, nonce: 5), from: .loopback)
    publish(1)
    desk.released()
    #expect(network.socket.sent.isEmpty)
  }

  /// What an answer is owed for, where there is room for every question and none grows old.
  private struct Owed {
    private struct Place: Hashable {
      let sender: HintAddress
      let nonce: UInt64
    }

    private var questions: [Place: UInt64] = [:]
    private var followers: [Place: UInt64] = [:]
    private var standbys: Set<Place> = []
    private(set) var answers = 0

    mutating func asked(
      _ kind: Hint.Kind, _ number: UInt64, _ nonce: UInt64, by sender: HintAddress,
      published: UInt64
    ) {
      let place = Place(sender: sender, nonce: nonce)
      switch kind {
      case .question where number > published:
        // At first the answer is that it is published.
        if questions.updateValue(number, forKey: place) != nil { answers += 1 }
      case .follower where number > published:
        followers[place] = number
        answers += 1
      case .standby:
        standbys.insert(place)
        answers += 1
      case .question, .follower: answers += 1
      case .written, .full, .heard, .published, .released: break
      }
    }

    mutating func published(_ number: UInt64) {
      let told = (
        questions.filter { $0.value <= number }.keys, followers.filter { $0.value <= number }.keys
      )
      answers += told.0.count + told.1.count
      for place in told.0 { questions[place] = nil }
      for place in told.1 { followers[place] = nil }
    }

    mutating func released() {
      answers += standbys.count
      standbys = []
    }
  }

  /// What writers send has no more bytes of answers than it has itself; what anybody sends, twice as many at most. And
  /// whatever is owed an answer has it.
  @Test(arguments: [true, false])
  func inAnyRunOfDatagramsWhatIsAskedIsAnsweredAndNoMoreGoesOut(areOfWriters: Bool) {
    let most = areOfWriters ? 1 : 2
    let kinds: [Hint.Kind] =
      areOfWriters
      ? [.question, .written]
      : [.question, .standby, .follower, .written, .full, .heard, .published, .released]
    var random = SeededRandom(seed: 16)
    let senders = (1...3 as ClosedRange<UInt64>).map { HintAddress(high: $0 << 32, port: 7) }
    var published: UInt64 = 0
    var owed = Owed()
    for step in 0..<20_000 {
      switch random.below(12) {
      case 0:
        published += 1
        publish(published)
        owed.published(published)
      case 1:
        desk.released()
        owed.released()
      case 2:
        let noise = (0..<random.below(130)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        network.socket.arrives(noise, from: senders[random.below(3)])
        desk.take()
      default:
        let number = published + UInt64(random.below(3))
        let (kind, nonce) = (kinds[random.below(kinds.count)], UInt64(random.below(4)))
        let sender = senders[random.below(3)]
        send(hint(kind, number, nonce: nonce), from: sender)
        owed.asked(kind, number, nonce, by: sender, published: published)
      }
      let sent = network.socket.sentCount
      guard sent == owed.answers else {
        Issue.record("after \(step) steps \(sent) answers, owed are \(owed.answers)")
        return
      }
    }
    #expect(published > 1000 && owed.answers > 5000)
    for sender in senders {
      let (received, sent) = network.socket.bytes(of: sender)
      #expect(sent > 0 && sent <= received * most, "\(sent) bytes for \(received)")
    }
    // Nobody gets what he has not asked for.
    #expect(network.socket.sent.allSatisfy { senders.contains($0.receiver) })
  }
}

/// One socket, into which a test puts what comes, and which counts.
private struct CountedNetwork: HintNetwork {
  final class Socket: HintSocket {
    private let state = Monitor(State())
    private struct State {
      var coming: [HintDatagram] = []
      var received: [HintAddress: Int] = [:]
      var sent: [(bytes: [UInt8], receiver: HintAddress)] = []
      var sentBytes: [HintAddress: Int] = [:]
    }

    var address: HintAddress { .loopback }
    var sent: [(bytes: [UInt8], receiver: HintAddress)] { state.withLock { $0.sent } }
    var sentCount: Int { state.withLock { $0.sent.count } }

    func arrives(_ bytes: [UInt8], from sender: HintAddress) {
      state.withLock { state in
        state.received[sender, default: 0] += bytes.count
        state.coming.append(HintDatagram(bytes, from: sender))
      }
    }

    func bytes(of peer: HintAddress) -> (received: Int, sent: Int) {
      state.withLock { ($0.received[peer, default: 0], $0.sentBytes[peer, default: 0]) }
    }

    func send(_ bytes: [UInt8], to address: HintAddress) {
      state.withLock { state in
        state.sentBytes[address, default: 0] += bytes.count
        state.sent.append((bytes, address))
      }
    }

    func receive(atMost limit: Duration) -> HintDatagram? {
      state.withLock { $0.coming.isEmpty ? nil : $0.coming.removeFirst() }
    }

    func interrupt() {}
    func takeInterrupt() -> Bool { false }
  }

  let socket = Socket()
  var loopback: UInt64 { 1 }
  func open(at address: HintAddress) throws(StoreError) -> any HintSocket { socket }
}
