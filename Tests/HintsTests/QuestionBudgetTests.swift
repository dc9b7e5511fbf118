import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceHints

@Suite("Who floods with questions gets so many answers and no more, and who waits is not slowed")
struct QuestionBudgetTests {
  private let network = FloodedNetwork()
  private let clock = ManualClock()
  private let desk: HintDesk

  init() throws {
    var environment = Environment.posix()
    (environment.clock, environment.hints) = (clock, network)
    desk = try HintDesk(at: .loopback, environment)
    desk.begin(TxID(10))
    let batch = Self.batch(1)
    desk.found(batch)
    desk.executed(batch, in: TxID(11))
    desk.published(TxID(11))
  }

  private static func batch(_ number: UInt64) -> BatchID {
    BatchID(writer: WriterID(high: 7, low: 8), sequence: SequenceNumber(number))
  }

  private func sender(_ host: UInt64, _ port: Int) -> HintAddress {
    HintAddress(high: host << 32, port: UInt16(port))
  }

  /// `count` times the same question, of one socket after the other; returns how many answers there were.
  private func flood(_ kind: Hint.Kind, _ count: Int, from senders: [HintAddress]) -> Int {
    let hint = Hint(kind, nonce: 5, batch: Self.batch(1))
    let bytes = hint.sealed(with: desk.endpoint.token)
    let before = network.socket.sent.withLock { $0 }
    for index in 0..<count {
      network.socket.arrived.withLock {
        $0 = HintDatagram(bytes, from: senders[index % senders.count])
      }
      desk.take()
    }
    return network.socket.sent.withLock { $0 } - before
  }

  @Test(arguments: [Hint.Kind.question, .standby, .follower])
  func oneSocketGetsSoManyAnswersInASecond(_ kind: Hint.Kind) {
    let most = Limits.hintQuestionsOfOneSocketInSecond
    #expect(flood(kind, most * 3, from: [sender(1, 7)]) == most)
    // Others of its host are answered.
    #expect(flood(kind, 10, from: [sender(1, 8)]) == 10)
    clock.advance(by: .milliseconds(500))
    #expect(abs(flood(kind, most, from: [sender(1, 7)]) - most / 2) <= 1)
    #expect(desk.counts.received == UInt64(most * 4 + 10))
  }

  @Test func oneHostGetsSoManyHoweverManySocketsItHas() {
    let most = Limits.hintQuestionsOfOneHostInSecond
    let sockets = (1...100).map { sender(1, $0) }
    #expect(flood(.question, most * 2, from: sockets) == most)
    #expect(flood(.question, 10, from: [sender(2, 7)]) == 10)
  }

  /// A datagram's sender is what whoever sends it writes into it.
  @Test func allTogetherGetSoManyWhateverAddressesAreWrittenIn() {
    let most = Limits.hintQuestionsInSecond
    let hosts = (1...UInt64(Limits.hintSendersCounted)).map { sender($0, 7) }
    #expect(flood(.question, most + 5000, from: hosts) == most)
    clock.advance(by: .seconds(1))
    #expect(flood(.question, 10, from: [sender(1 << 20, 7)]) == 10)
  }

  @Test func whatIsRememberedOfSendersIsBounded() {
    var budget = QuestionBudget()
    for host in 1...UInt64(Limits.hintSendersCounted * 2) {
      let isHeard = budget.hears(sender(host, 7), at: .seconds(100))
      #expect(isHeard)
    }
    #expect(budget.sendersCounted <= Limits.hintSendersCounted)
    // Of who asks no more nothing is remembered.
    for host in 1...10 as ClosedRange<UInt64> {
      let isHeard = budget.hears(sender(host << 30, 7), at: .seconds(110))
      #expect(isHeard)
    }
    #expect(budget.sendersCounted <= 20)
  }

  /// 8 processes of 16 threads on one host, each of which waits for a batch 100 times in a second.
  @Test func whoWaitsIsAnswered() {
    let sockets = (1...8).map { sender(1, $0) }
    for _ in 0..<300 {
      #expect(flood(.question, 8 * 16, from: sockets) == 8 * 16)
      clock.advance(by: .milliseconds(10))
    }
  }

  /// Of more than is answered the hint counts all the same: the leader looks.
  @Test func whatIsNotAnsweredIsAHintAllTheSame() {
    _ = flood(.question, Limits.hintQuestionsOfOneSocketInSecond + 1, from: [sender(1, 7)])
    #expect(desk.takeWanted().isEmpty)
    let hint = Hint(.question, nonce: 6, batch: Self.batch(2))
    network.socket.arrived.withLock {
      $0 = HintDatagram(hint.sealed(with: desk.endpoint.token), from: sender(1, 7))
    }
    desk.take()
    #expect(desk.takeWanted() == [Self.batch(2).writer])
  }
}

/// A network of one socket, into which a test puts one datagram after the other.
private struct FloodedNetwork: HintNetwork {
  final class Socket: HintSocket {
    let sent = Monitor(0)
    let arrived = Monitor<HintDatagram?>(nil)
    var address: HintAddress { .loopback }
    func send(_ bytes: [UInt8], to address: HintAddress) { sent.withLock { $0 += 1 } }
    func receive(atMost limit: Duration) -> HintDatagram? { arrived.withLock { $0.take() } }
    func interrupt() {}
    func takeInterrupt() -> Bool { false }
  }

  let socket = Socket()
  var loopback: UInt64 { 1 }
  func open(at address: HintAddress) throws(StoreError) -> any HintSocket { socket }
}
