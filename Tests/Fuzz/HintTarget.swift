import SluiceFakes
import SluiceShared

@testable import SluiceHints

extension FuzzTarget {
  /// Datagrams that whoever can read the store may send to an applier's end of hints, and to a writer's.
  static let hints = FuzzTarget(
    name: "hints", mostBytes: 1024,
    seeds: { _ in
      let batch = BatchID(writer: WriterID(high: 1, low: 2), sequence: SequenceNumber(3))
      let hints = [
        Hint(.question, nonce: 7, batch: batch), Hint(.written, batch: batch),
        Hint(.follower, nonce: 8, txid: TxID(9)), Hint(.standby, nonce: 10),
        Hint(.published, nonce: 7, batch: batch, txid: TxID(4)), Hint(.released, nonce: 10),
        Hint(.heard, nonce: 8), Hint(.full),
      ]
      let sealed = hints.map { $0.sealed(with: SilentNetwork.token) }
      // Each with what happens before it, and all of them.
      return sealed.enumerated().map { [UInt8($0)] + $1 }
        + [sealed.enumerated().flatMap { [UInt8($0)] + $1 }]
    },
    run: { input in
      let bytes = [UInt8](input)
      attackDecoder(bytes)
      attackEnds(bytes)
    })

  private static func attackDecoder(_ bytes: [UInt8]) {
    let token = SilentNetwork.token
    _ = Hint.name(in: bytes)
    // Nobody guesses a seal, nor does a fuzzer.
    if let hint = Hint(bytes, sealedWith: token) {
      demand(hint.sealed(with: token).count == bytes.count, "a hint of another length")
    }
    guard let hint = Hint(sealed(bytes, HintSeal(token)), sealedWith: token) else { return }
    let again = Hint(hint.sealed(with: token), sealedWith: token)
    demand(again == hint, "a hint is read as another from its own bytes")
  }

  /// What is sealed by somebody who knows the token, whatever it says beside the name.
  private static func sealed(_ bytes: some Collection<UInt8>, _ seal: HintSeal) -> [UInt8] {
    var content = [UInt8](bytes.prefix(Hint.sealedBytes))
    if content.count >= 8 { content.replaceSubrange(5..<8, with: seal.name) }
    return content + seal.sum(content)
  }

  /// One step of the applier's before each datagram.
  private static func attackEnds(_ bytes: [UInt8]) {
    let (network, linesNetwork) = (SilentNetwork(), SilentNetwork())
    var environment = Environment.posix()
    environment.hints = network
    environment.clock = ManualClock()
    var linesEnvironment = environment
    linesEnvironment.hints = linesNetwork
    refusable {
      let desk = try HintDesk(at: .loopback, environment)
      desk.begin(TxID(10))
      desk.beginJudging()
      let line = HintLine(linesEnvironment)
      line.aim(at: HintEndpoint(address: .loopback, token: desk.endpoint.token, loopback: 1))
      var rest = bytes[...]
      var txid = TxID(10)
      var count: UInt64 = 0
      while let step = rest.popFirst() {
        let sealed = sealed(rest, HintSeal(desk.endpoint.token))
        // A seed's own seal is passed over.
        rest = rest.dropFirst(Limits.hintBytes)
        let hint = Hint(sealed, sealedWith: desk.endpoint.token)
        act(step, hint?.batch ?? Hint.noBatch, &txid, desk, environment)
        network.arrive(sealed)
        desk.take()
        linesNetwork.arrive(sealed)
        _ = line.answer()
        if hint != nil { count += 1 }
      }
      demand(desk.counts.received == count, "a hint that was sealed was not received")
      demand(desk.counts.sent <= count * 2, "more than two answers to a question")
      demand(desk.wantedWriters.count <= Int(count), "a look for the sake of no hint")
      let pause = desk.pause(after: .seconds(3600))
      demand(pause <= Limits.longestHintedPause, "looks are \(pause) apart")
    }
  }

  private static func act(
    _ step: UInt8, _ batch: BatchID, _ txid: inout TxID, _ desk: HintDesk,
    _ environment: Environment
  ) {
    switch step % 6 {
    case 0: break
    case 1: desk.found(batch)
    case 2:
      txid = txid.next
      desk.executed(batch, in: txid)
    case 3: desk.published(txid)
    case 4:
      let wanted = desk.takeWanted()
      desk.looked(isHinted: !wanted.isEmpty, finds: step & 64 != 0)
      desk.wantAgain(wanted)
    default: environment.clock.sleep(.milliseconds(Int64(step)))
    }
  }
}

/// A network of one socket, on which arrives what the fuzzer says.
private struct SilentNetwork: HintNetwork {
  static let token = Identifier128(high: 1, low: 2)

  final class Socket: HintSocket {
    let arrived = Monitor<[[UInt8]]>([])
    var address: HintAddress { .loopback }
    func send(_ bytes: [UInt8], to address: HintAddress) {
      demand(bytes.count == Limits.hintBytes, "an answer that is larger than its question")
    }
    func receive(atMost limit: Duration) -> HintDatagram? {
      arrived.withLock { $0.popLast().map { HintDatagram($0, from: .loopback) } }
    }
    func interrupt() {}
    func takeInterrupt() -> Bool { false }
  }

  private let socket = Socket()
  var loopback: UInt64 { 1 }
  func open(at address: HintAddress) throws(StoreError) -> any HintSocket { socket }
  func arrive(_ bytes: [UInt8]) { socket.arrived.withLock { $0.append(bytes) } }
}
