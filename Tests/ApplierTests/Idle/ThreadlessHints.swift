import SluiceShared

/// Hints between parties that are all in a test's one thread: each arrives at once.
final class ThreadlessHints: @unchecked Sendable {
  // Sendable: a test has one thread.
  private var sockets: [UInt16: Socket] = [:]
  private var lastPort: UInt16 = 7400
  /// Whether what is sent from this port is lost.
  var isLost: (_ port: UInt16) -> Bool = { _ in false }

  /// As one party sees it. `arrives`: something has come for it. `wait`: waits so long, or until something has come.
  func network(
    arrives: @escaping () -> Void,
    wait: @escaping (Duration, () -> Bool) -> Void = { _, _ in }
  ) -> any HintNetwork {
    Network(all: self, arrives: arrives, wait: wait)
  }

  private struct Network: HintNetwork, @unchecked Sendable {
    // Sendable: as all of it.
    let all: ThreadlessHints
    let arrives: () -> Void
    let wait: (Duration, () -> Bool) -> Void

    var loopback: UInt64 { 7 }

    func open(at address: HintAddress) throws(StoreError) -> any HintSocket {
      all.lastPort += 1
      var own = address
      own.port = all.lastPort
      let socket = Socket(own, self)
      all.sockets[own.port] = socket
      return socket
    }
  }

  private final class Socket: HintSocket, @unchecked Sendable {
    // Sendable: as all of it.
    let address: HintAddress
    private let network: Network
    private var coming: [HintDatagram] = []
    private var isInterrupted = false

    init(_ address: HintAddress, _ network: Network) {
      (self.address, self.network) = (address, network)
    }

    func send(_ bytes: [UInt8], to address: HintAddress) {
      guard let receiver = network.all.sockets[address.port],
        !network.all.isLost(self.address.port)
      else { return }
      receiver.coming.append(HintDatagram(bytes, from: self.address))
      receiver.network.arrives()
    }

    func receive(atMost limit: Duration) -> HintDatagram? {
      if coming.isEmpty, limit > .zero { network.wait(limit) { !coming.isEmpty } }
      return coming.isEmpty ? nil : coming.removeFirst()
    }

    func interrupt() { isInterrupted = true }

    func takeInterrupt() -> Bool {
      defer { isInterrupted = false }
      return isInterrupted
    }
  }
}
