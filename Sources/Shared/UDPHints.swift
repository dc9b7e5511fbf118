internal import CSystem
internal import Glibc

/// Hints as UDP datagrams.
package struct UDPHints: HintNetwork {
  package init() {}

  private static let reach = csystem_loopback()

  package var loopback: UInt64 { Self.reach }

  package func open(at address: HintAddress) throws(StoreError) -> any HintSocket {
    var bound = csystem_udp_address(address)
    let socket = csystem_udp_open(&bound)
    guard socket >= 0 else {
      throw StoreError(
        .io,
        "no UDP socket for hints at \(address): \(String(cString: strerror(-socket))); name an address of this host and a free port",
        errno: -socket)
    }
    let event = csystem_event_open()
    guard event >= 0 else {
      csystem_close(socket)
      throw StoreError(
        .io, "no descriptor to wait for hints with: \(String(cString: strerror(-event)))",
        errno: -event)
    }
    return UDPHintSocket(socket, event, HintAddress(bound))
  }
}

private final class UDPHintSocket: HintSocket {
  let address: HintAddress
  private let socket: Int32
  private let event: Int32

  init(_ socket: Int32, _ event: Int32, _ address: HintAddress) {
    self.socket = socket
    self.event = event
    self.address = address
  }

  deinit {
    csystem_close(socket)
    csystem_close(event)
  }

  func send(_ bytes: [UInt8], to address: HintAddress) {
    var system = csystem_udp_address(address)
    csystem_udp_send(socket, bytes, bytes.count, &system)
  }

  func receive(atMost limit: Duration) -> HintDatagram? {
    if let datagram = take() { return datagram }
    guard limit > .zero else { return nil }
    let (seconds, attoseconds) = min(limit, .seconds(3600)).components
    csystem_udp_wait(socket, event, seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    return take()
  }

  private func take() -> HintDatagram? {
    var sender = csystem_udp_address()
    // One byte more than any hint has: what is longer is cut, and known by its length.
    let bytes = [UInt8](unsafeUninitializedCapacity: Limits.hintBytes + 1) { buffer, count in
      count = Int(csystem_udp_receive(socket, buffer.baseAddress, buffer.count, &sender))
      if count < 0 { count = 0 }
    }
    // An empty datagram is none of ours either; what comes behind it is taken next time.
    return bytes.isEmpty ? nil : HintDatagram(bytes, from: HintAddress(sender))
  }

  func interrupt() { csystem_event_set(event) }

  func takeInterrupt() -> Bool { csystem_event_take(event) != 0 }
}

extension HintAddress: CustomStringConvertible {
  init(_ system: csystem_udp_address) {
    self.init(high: system.high, low: system.low, port: system.port, isIPv6: system.six != 0)
  }

  /// A numeric host, as `10.0.0.5` or `fd00::5`; nil where it is none.
  public init?(host: String, port: UInt16) {
    var system = csystem_udp_address()
    guard csystem_udp_parse(host, &system) == 0 else { return nil }
    self.init(system)
    self.port = port
  }

  public var description: String {
    var system = csystem_udp_address(self)
    let host = String(
      decoding: [UInt8](unsafeUninitializedCapacity: 46) { buffer, count in
        buffer.withMemoryRebound(to: CChar.self) { text in
          if let start = text.baseAddress {
            csystem_udp_format(&system, start)
            count = strlen(start)
          }
        }
      }, as: UTF8.self)
    return isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)"
  }
}

extension csystem_udp_address {
  init(_ address: HintAddress) {
    self.init(
      high: address.high, low: address.low, port: address.port, six: address.isIPv6 ? 1 : 0)
  }
}
