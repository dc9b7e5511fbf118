internal import SluiceHints
internal import SluiceShared

/// One socket for the hints of many stores: each datagram says by a name whose it is.
///
/// Nothing waits at a store's end of it. What comes is laid down there, and the store is woken.
final class SharedHints: Sendable {
  private struct State {
    var ends: [[UInt8]: [WeakEnd]] = [:]
    var isClosed = false
  }

  private struct WeakEnd { weak var end: SharedEnd? }

  private let socket: any HintSocket
  private let loopback: UInt64
  private let state = Monitor(State())

  /// Throws `.io` where there can be no socket at `address`.
  init(at address: HintAddress, _ environment: Environment) throws(StoreError) {
    socket = try environment.hints.open(at: address)
    loopback = environment.hints.loopback
  }

  var address: HintAddress { socket.address }

  func send(_ bytes: [UInt8], to address: HintAddress) { socket.send(bytes, to: address) }

  /// As one store sees it; `wake` is called from any thread, when something has come for it.
  func network(_ wake: @escaping @Sendable () -> Void) -> any HintNetwork {
    SharedNetwork(hints: self, loopback: loopback, wake: wake)
  }

  /// Hands on what comes, on this thread, until it is closed.
  func serve() {
    while !state.withLock({ $0.isClosed }) {
      if let datagram = socket.receive(atMost: .seconds(60)) {
        deliver(datagram)
      } else {
        _ = socket.takeInterrupt()
      }
    }
  }

  func close() {
    state.withLock { $0.isClosed = true }
    socket.interrupt()
  }

  private func deliver(_ datagram: HintDatagram) {
    guard let name = Hint.name(in: datagram.bytes) else { return }
    let ends = state.withLock { $0.ends[name] ?? [] }
    for case let end? in ends.map(\.end) { end.take(datagram) }
  }

  fileprivate func open(_ name: [UInt8], _ wake: @escaping @Sendable () -> Void) -> SharedEnd {
    let end = SharedEnd(self, socket, name, wake)
    state.withLock { $0.ends[name, default: []].append(WeakEnd(end: end)) }
    return end
  }

  fileprivate func close(_ name: [UInt8]) {
    // What is held here may be the last of an end, which then closes itself: that takes the lock.
    _ = state.withLock { state in
      let left = (state.ends[name] ?? []).compactMap(\.end)
      state.ends[name] = left.isEmpty ? nil : left.map { WeakEnd(end: $0) }
      return left
    }
  }
}

private struct SharedNetwork: HintNetwork {
  let hints: SharedHints
  let loopback: UInt64
  let wake: @Sendable () -> Void

  func open(at address: HintAddress) throws(StoreError) -> any HintSocket {
    throw StoreError(.io, "a socket that is shared has hints with names only")
  }

  func open(at address: HintAddress, for name: [UInt8]) throws(StoreError) -> any HintSocket {
    hints.open(name, wake)
  }
}

private final class SharedEnd: HintSocket {
  private struct State {
    var datagrams: [HintDatagram] = []
    var isInterrupted = false
    /// The next datagram is news: since the last that was, all were taken or somebody began to take them.
    var isDrained = true
  }

  private let hints: SharedHints
  private let socket: any HintSocket
  private let name: [UInt8]
  private let wake: @Sendable () -> Void
  private let state = Monitor(State())

  init(
    _ hints: SharedHints, _ socket: any HintSocket, _ name: [UInt8],
    _ wake: @escaping @Sendable () -> Void
  ) {
    (self.hints, self.socket, self.name, self.wake) = (hints, socket, name, wake)
  }

  deinit { hints.close(name) }

  var address: HintAddress { socket.address }

  func send(_ bytes: [UInt8], to address: HintAddress) { socket.send(bytes, to: address) }

  func take(_ datagram: HintDatagram) {
    let isNews = state.withLock { state in
      // What finds no room is lost, as it is in a socket.
      guard state.datagrams.count < Limits.hintsAtOnce else { return false }
      state.datagrams.append(datagram)
      defer { state.isDrained = false }
      return state.isDrained
    }
    if isNews { wake() }
  }

  func receive(atMost limit: Duration) -> HintDatagram? {
    state.withLock { state in
      // Who takes may stop before the last, and hears of the next.
      state.isDrained = true
      return state.datagrams.isEmpty ? nil : state.datagrams.removeFirst()
    }
  }

  func interrupt() {
    state.withLock { $0.isInterrupted = true }
    wake()
  }

  func takeInterrupt() -> Bool {
    state.withLock { state in
      defer { state.isInterrupted = false }
      return state.isInterrupted
    }
  }
}
