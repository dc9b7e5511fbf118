import SluiceFakes
import SluiceShared
import Synchronization
import Testing

@testable import SluiceHints

/// Between an applier's end and others', over UDP on this host, with a clock that the test moves.
@Suite("Hints wake who waits, and nothing else")
struct HintDeskTests {
  private let environment: Environment
  private let clock = ManualClock()
  private let desk: HintDesk

  init() throws {
    var environment = Environment.posix()
    environment.clock = clock
    self.environment = environment
    desk = try HintDesk(at: .loopback, environment)
    desk.begin(TxID(10))
    desk.beginJudging()
  }

  private func line() -> HintLine {
    let line = HintLine(environment)
    line.aim(at: desk.endpoint)
    return line
  }

  static let writer = WriterID(high: 7, low: 8)
  static func batch(_ number: UInt64) -> BatchID {
    BatchID(writer: writer, sequence: SequenceNumber(number))
  }

  /// Takes in what was sent, which may arrive a moment later.
  private func take() { desk.take(atMost: .milliseconds(200)) }

  /// What a writer submits and the applier reads, executes and publishes.
  private func serve(_ number: UInt64) {
    take()
    desk.found(Self.batch(number))
    desk.executed(Self.batch(number), in: TxID(10 + number))
    desk.published(TxID(10 + number))
  }

  @Test(arguments: [false, true])
  func aQuestionIsAnsweredWhenItsBatchIsPublished(isAskedAgain: Bool) {
    let line = line()
    let question = Hint(.question, batch: Self.batch(1))
    #expect(line.ask([question]))
    take()
    #expect(desk.isLookWanted(at: clock.elapsed()))
    #expect(desk.takeWanted() == [Self.writer])
    // Who is told soon need not be told before that it was heard.
    #expect(line.wait(atMost: .zero) == nil)
    if isAskedAgain {
      clock.advance(by: .milliseconds(100))
      #expect(line.ask([question]))
      take()
      #expect(line.wait(atMost: .seconds(1))?.kind == .heard)
      #expect(line.wait(atMost: .zero) == nil)
    }
    serve(1)
    let answer = line.wait(atMost: .seconds(1))
    #expect(answer?.kind == .published && answer?.batch == Self.batch(1))
    // Nobody asks now, so nothing more comes.
    serve(2)
    #expect(line.wait(atMost: .zero) == nil)
    let sent: UInt64 = isAskedAgain ? 2 : 1
    #expect(desk.counts.received == sent && desk.counts.sent == sent)
  }

  @Test func whoFindsNoRoomWakesTheLeaderOnceASecond() {
    let line = line()
    let rest = Duration.milliseconds(400)
    /// Whether the leader rested for as long as it liked, on the socket's clock.
    func rested() -> Bool {
      let began = SystemClock().elapsed()
      _ = desk.wait(atMost: rest)
      return SystemClock().elapsed() - began >= rest
    }
    #expect(rested() && !desk.takeRoomWanted())
    line.tellFullDisk()
    #expect(!rested())
    #expect(desk.takeRoomWanted() && !desk.takeRoomWanted())
    // However often it is said.
    for _ in 0..<5 { line.tellFullDisk() }
    #expect(rested() && !desk.takeRoomWanted())
    clock.advance(by: .seconds(1))
    line.tellFullDisk()
    #expect(!rested() && desk.takeRoomWanted())
    #expect(!desk.isLookWanted(at: clock.elapsed()) && desk.counts.sent == 0)
  }

  @Test func theLastAnswerIsOfWhoIsAsked() {
    let line = line()
    #expect(line.lastAnswer(from: desk.endpoint) == nil)
    #expect(line.ask([Hint(.standby)]))
    take()
    clock.advance(by: .seconds(1))
    #expect(line.wait(atMost: .seconds(1))?.kind == .heard)
    #expect(line.lastAnswer(from: desk.endpoint) == clock.elapsed())
    var other = desk.endpoint
    other.token = Identifier128(high: 1, low: 2)
    #expect(line.lastAnswer(from: other) == nil)
    // Another's answers are no word of this one.
    line.aim(at: other)
    #expect(line.lastAnswer(from: other) == nil)
    line.aim(at: desk.endpoint)
    #expect(line.lastAnswer(from: desk.endpoint) == nil)
  }

  @Test func anAnswerIsFoundBehindWhatAnswersNothing() throws {
    let network = DeafNetwork()
    var environment = environment
    environment.hints = network
    let line = HintLine(environment)
    line.aim(at: desk.endpoint)
    #expect(line.ask([Hint(.standby)]))
    let asked = try #require(network.socket.sent.withLock { $0.first })
    let token = desk.endpoint.token
    let question = try #require(Hint(asked, sealedWith: token))
    network.socket.arrived.withLock {
      $0 = [[1, 2, 3], Hint(.released, nonce: 1).sealed(with: token)]
      $0.append(Hint(.heard, nonce: question.nonce).sealed(with: token))
      $0.append(Hint(.released, nonce: question.nonce).sealed(with: token))
    }
    #expect(line.answer()?.kind == .released)
    #expect(line.answer() == nil)
    #expect(network.socket.arrived.withLock { $0.isEmpty })
  }

  /// Who knows the token may say so again and again, and costs no more looks than that.
  @Test func anEndThatNobodyAskedForIsHeardNowAndThen() throws {
    let network = DeafNetwork()
    var environment = environment
    environment.hints = network
    let line = HintLine(environment)
    line.aim(at: desk.endpoint)
    let end = Hint(.released).sealed(with: desk.endpoint.token)
    var heard = 0
    for _ in 0..<1000 {
      network.socket.arrived.withLock { $0 = [end] }
      if line.answer() != nil { heard += 1 }
      clock.advance(by: .milliseconds(1))
    }
    #expect(heard == 20)
  }

  @Test func whatIsPublishedAlreadyIsAnsweredAtOnce() {
    serve(1)
    let line = line()
    _ = line.ask([Hint(.question, batch: Self.batch(1))])
    take()
    #expect(line.wait(atMost: .seconds(1))?.kind == .published)
  }

  @Test func aStandbyIsToldOfTheEnd() {
    let line = line()
    _ = line.ask([Hint(.standby)])
    take()
    #expect(line.wait(atMost: .seconds(1))?.kind == .heard)
    desk.released()
    #expect(line.wait(atMost: .seconds(1))?.kind == .released)
  }

  @Test func pollsAreSlowOnlyWhileEachPieceOfNewsHasItsHint() {
    let line = line()
    for number in 1...UInt64(Limits.leastHintProof) {
      #expect(!desk.isProven)
      line.tell(written: Self.batch(number))
      serve(number)
    }
    #expect(desk.isProven)
    // A hint that comes a little late is one.
    desk.found(Self.batch(20))
    clock.advance(by: Limits.hintGrace / 2)
    line.tell(written: Self.batch(20))
    take()
    clock.advance(by: Limits.hintGrace)
    take()
    #expect(desk.isProven)
    // One that does not come.
    desk.found(Self.batch(21))
    clock.advance(by: Limits.hintGrace * 2)
    take()
    #expect(!desk.isProven)
    // Then more are asked for, and for longer.
    for number in 22..<(22 + UInt64(Limits.leastHintProof)) {
      line.tell(written: Self.batch(number))
      serve(number)
    }
    #expect(!desk.isProven)
    clock.advance(by: .seconds(2))
    for number in 40..<(40 + UInt64(Limits.leastHintProof * 2)) {
      line.tell(written: Self.batch(number))
      serve(number)
    }
    #expect(desk.isProven)
  }

  /// It would stand for the hints of all batches to come, of a writer whose own do not arrive.
  @Test func aNumberFarAheadProvesNothing() throws {
    let stranger = try environment.hints.open(at: .loopback)
    desk.beginJudging()
    desk.found(Self.batch(1))
    for number in [UInt64.max, Limits.hintedAhead + 2] {
      let hint = Hint(.written, batch: Self.batch(number))
      stranger.send(hint.sealed(with: desk.endpoint.token), to: desk.endpoint.address)
    }
    take()
    for number in 2...200 as ClosedRange<UInt64> { desk.found(Self.batch(number)) }
    #expect(!desk.isProven)
  }

  @Test func forgeriesCostNoMoreThanPolling() throws {
    let stranger = try environment.hints.open(at: .loopback)
    stranger.send([1, 2, 3], to: desk.endpoint.address)
    let other = Hint(.written, batch: Self.batch(1))
    stranger.send(
      other.sealed(with: Identifier128(high: 1, low: 1)), to: desk.endpoint.address)
    take()
    #expect(desk.counts.received == 0 && !desk.isLookWanted(at: clock.elapsed()))
    // By somebody who knows the token: one look, which finds nothing, and then none for a while.
    for number in 100...200 as ClosedRange<UInt64> {
      let hint = Hint(.written, batch: Self.batch(number))
      stranger.send(hint.sealed(with: desk.endpoint.token), to: desk.endpoint.address)
    }
    take()
    #expect(desk.isLookWanted(at: clock.elapsed()))
    _ = desk.takeWanted()
    desk.looked(isHinted: true, finds: false)
    stranger.send(
      Hint(.written, batch: Self.batch(300)).sealed(with: desk.endpoint.token),
      to: desk.endpoint.address)
    take()
    #expect(!desk.isLookWanted(at: clock.elapsed()))
    clock.advance(by: Limits.hintedLookPause)
    #expect(desk.isLookWanted(at: clock.elapsed()))
  }

  @Test func questionsOfOneSocketAreBounded() {
    let line = line()
    let most = UInt64(Limits.hintQuestionsOfOneSocket)
    let questions = (1...(most + 10)).map { Hint(.question, batch: Self.batch($0)) }
    for _ in 0..<2 {
      _ = line.ask(questions)
      take()
      clock.advance(by: .milliseconds(100))
    }
    #expect(desk.counts.received == 2 * (most + 10))
    // Those of which it knows, when they are asked again.
    #expect(desk.counts.sent == most)
    // What is not asked again is forgotten.
    clock.advance(by: Limits.hintQuestionTime * 2)
    let another = self.line()
    _ = another.ask([Hint(.follower, txid: TxID(100))])
    take()
    let before = desk.counts.sent
    serve(1)
    #expect(desk.counts.sent == before)
  }

  /// A host has as many sockets as it likes, and of IPv6 as many addresses in its network.
  @Test(arguments: [false, true])
  func questionsOfOneHostAreBounded(isIPv6: Bool) {
    var questions = HintQuestions()
    func ask(_ host: UInt64, _ number: UInt64) -> Bool {
      let sender = HintAddress(
        high: host << 32, low: isIPv6 ? number : 0, port: UInt16(number), isIPv6: isIPv6)
      let hint = Hint(.question, nonce: number, batch: Self.batch(number))
      return questions.add(hint, from: sender, at: .seconds(100)) != .refused
    }
    let most = UInt64(Limits.hintQuestionsOfOneHost)
    #expect((1...most + 100).count { ask(1, $0) } == Int(most))
    #expect(ask(2, 1))
    // With what is answered there is room again.
    #expect(questions.take(Self.writer, upTo: SequenceNumber(5)).count == 6)
    #expect((1...most + 100).count { ask(1, $0) } == Int(most))
  }

  @Test func writersWhoseFilesAreToBeLookedAtAreBounded() throws {
    let network = DeafNetwork()
    var environment = environment
    environment.hints = network
    let desk = try HintDesk(at: .loopback, environment)
    desk.begin(TxID(10))
    let forged = UInt64(Limits.hintWriters + Limits.hintsAtOnce)
    network.socket.arrived.withLock { arrived in
      arrived = (1...forged).map { number in
        let writer = WriterID(high: number, low: 1)
        let batch = BatchID(writer: writer, sequence: SequenceNumber(1))
        return Hint(.written, batch: batch).sealed(with: desk.endpoint.token)
      }
    }
    while desk.take(atMost: .milliseconds(50)) {}
    #expect(desk.counts.received == forged)
    #expect(desk.takeWanted().count == Limits.hintWriters)
  }

  /// Else two who know the token would answer each other for ever.
  @Test func anAnswerIsNotAnswered() throws {
    let stranger = try environment.hints.open(at: .loopback)
    for kind in [Hint.Kind.heard, .published, .released, .written] {
      stranger.send(
        Hint(kind, nonce: 5, batch: Self.batch(1)).sealed(with: desk.endpoint.token),
        to: desk.endpoint.address)
    }
    take()
    #expect(desk.counts.received == 4 && desk.counts.sent == 0)
    serve(1)
    desk.released()
    #expect(desk.counts.sent == 0)
    #expect(stranger.receive(atMost: .zero) == nil)
  }

  /// What stands no more is looked for among all: not for each question of somebody who floods.
  @Test func aFullTableIsSweptOnceASecond() throws {
    var questions = HintQuestions()
    func ask(_ count: Int, at now: Duration) -> Int {
      (0..<count).count { n in
        let hint = Hint(
          .question, nonce: UInt64.random(in: 1 ... .max), batch: Self.batch(UInt64(n)))
        let sender = HintAddress(high: UInt64.random(in: .min ... .max), port: 7)
        return questions.add(hint, from: sender, at: now) != .refused
      }
    }
    let half = Limits.hintQuestions / 2
    #expect(ask(half, at: .seconds(100)) == half)
    #expect(ask(half, at: .milliseconds(100_500)) == half)
    // The first half stands no more.
    let later = Duration.seconds(100) + Limits.hintQuestionTime + .milliseconds(100)
    #expect(ask(half + 1, at: later) == half)
    // Nor does the second, half a second later; and a second later it is found out.
    #expect(ask(10, at: later + .milliseconds(500)) == 0)
    #expect(ask(10, at: later + .milliseconds(1500)) == 10)
  }

  @Test func whoIsNotAnsweredAsksAgainAndThenTrustsNoMore() {
    let line = line()
    for number in 1...3 as ClosedRange<UInt64> {
      _ = line.ask([Hint(.question, batch: Self.batch(number))])
      serve(number)
      while line.wait(atMost: .milliseconds(100)) != nil {}
    }
    _ = line.ask([Hint(.question, batch: Self.batch(4))])
    #expect(line.isTrusted)
    let sent = line.counts.sent
    for _ in 0..<2 {
      clock.advance(by: .milliseconds(100))
      _ = line.ask([Hint(.question, batch: Self.batch(4))])
    }
    #expect(line.counts.sent == sent + 2)
    #expect(!line.isTrusted)
    take()
    while line.wait(atMost: .milliseconds(100)) != nil {}
    #expect(line.isTrusted)
    // Its outcome was found a moment before it was answered.
    _ = line.ask([Hint(.question, batch: Self.batch(5))])
    clock.advance(by: Limits.answerGrace / 2)
    _ = line.ask([Hint(.question, batch: Self.batch(5))])
    serve(4)
    clock.advance(by: Limits.answerGrace * 2)
    _ = line.ask([Hint(.question, batch: Self.batch(5))])
    #expect(line.isTrusted)
    // That of the next one was found, and no hint told.
    _ = line.ask([Hint(.question, batch: Self.batch(6))])
    #expect(line.isTrusted)
    clock.advance(by: Limits.answerGrace * 2)
    _ = line.ask([Hint(.question, batch: Self.batch(6))])
    #expect(!line.isTrusted)
  }
}

/// A network of one socket, into which a test puts what comes.
private struct DeafNetwork: HintNetwork {
  final class Socket: HintSocket {
    let sent = Monitor<[[UInt8]]>([])
    let arrived = Monitor<[[UInt8]]>([])
    var address: HintAddress { .loopback }
    func send(_ bytes: [UInt8], to address: HintAddress) { sent.withLock { $0.append(bytes) } }
    func receive(atMost limit: Duration) -> HintDatagram? {
      arrived.withLock { $0.isEmpty ? nil : HintDatagram($0.removeFirst(), from: .loopback) }
    }
    func interrupt() {}
    func takeInterrupt() -> Bool { false }
  }

  let socket = Socket()
  var loopback: UInt64 { Environment.posix().hints.loopback }
  func open(at address: HintAddress) throws(StoreError) -> any HintSocket { socket }
}
