/// Where hints come from and go to: datagrams between processes, each of which may be lost, late, doubled,
/// out of order, or a forgery. Nothing that is promised rests on one.
package protocol HintNetwork: Sendable {
  /// A number that two processes have in common where a loopback address leads from one to the other; 0
  /// where that is not known.
  var loopback: UInt64 { get }
  /// A socket at an address; port 0 is any that is free. Throws `.io` where it cannot be had, or where there
  /// is no network.
  func open(at address: HintAddress) throws(StoreError) -> any HintSocket
  /// As `open(at:)`, for hints of this name only (`HintEndpoint.name`): where sockets are shared.
  func open(at address: HintAddress, for name: [UInt8]) throws(StoreError) -> any HintSocket
}

extension HintNetwork {
  package func open(at address: HintAddress, for name: [UInt8]) throws(StoreError)
    -> any HintSocket
  {
    try open(at: address)
  }
}

/// A socket of one process. `receive` is for one thread at a time, all else for any.
package protocol HintSocket: AnyObject, Sendable {
  /// With the port that it got.
  var address: HintAddress { get }
  /// Never waits: what cannot go out at once is lost.
  func send(_ bytes: [UInt8], to address: HintAddress)
  /// The next datagram, waited for at most `limit`; nil after that, after an `interrupt`, or, now and then,
  /// earlier.
  func receive(atMost limit: Duration) -> HintDatagram?
  /// Ends the `receive` that is under way, or the next one that finds no datagram.
  func interrupt()
  /// Whether there was an `interrupt` since this was last asked.
  func takeInterrupt() -> Bool
}

package struct HintDatagram: Sendable {
  package var bytes: [UInt8]
  package var sender: HintAddress

  package init(_ bytes: [UInt8], from sender: HintAddress) {
    self.bytes = bytes
    self.sender = sender
  }
}

/// A numeric address and a UDP port.
public struct HintAddress: Hashable, Sendable {
  /// The 16 bytes of an IPv6 address as two big-endian numbers; of an IPv4 address the four bytes are the
  /// upper half of `high`, and all else is 0.
  package var high: UInt64
  package var low: UInt64
  package var port: UInt16
  package var isIPv6: Bool

  package init(high: UInt64, low: UInt64 = 0, port: UInt16, isIPv6: Bool = false) {
    self.high = high
    self.low = low
    self.port = port
    self.isIPv6 = isIPv6
  }

  /// 127.0.0.1, any port.
  public static let loopback = HintAddress(high: 127 << 56 | 1 << 32, port: 0)

  /// Whether it leads to processes of the same host only.
  package var isLoopback: Bool { isIPv6 ? high == 0 && low == 1 : high >> 56 == 127 }
  /// 0.0.0.0 or [::]: all addresses of a host, which are the address of none.
  package var isUnspecified: Bool { high == 0 && low == 0 }

  /// The host alone, without a port; of IPv6 its /64, since a host may have all of its addresses. (On AWS that is a
  /// subnet.)
  package var host: HintAddress {
    HintAddress(high: high, low: isIPv6 ? 0 : low, port: 0, isIPv6: isIPv6)
  }

  /// Where who sends to this address opens a socket: beside it where it is a loopback address, else anywhere.
  package var sender: HintAddress {
    var sender = isLoopback ? self : HintAddress(high: 0, port: 0, isIPv6: isIPv6)
    sender.port = 0
    return sender
  }
}

/// Where an applier takes hints, as its beacon says.
package struct HintEndpoint: Hashable, Sendable {
  package var address: HintAddress
  /// Random bytes with which each hint to it and from it is sealed: who can read the store knows them.
  package var token: Identifier128
  /// Of a loopback address: what it leads to (`HintNetwork.loopback`); 0 of any other.
  package var loopback: UInt64

  package init(address: HintAddress, token: Identifier128, loopback: UInt64) {
    self.address = address
    self.token = token
    self.loopback = loopback
  }

  /// The name of an applier's end of hints in each datagram to it and from it: three bytes that say nothing of
  /// the token.
  package static func name(_ token: Identifier128) -> [UInt8] {
    var writer = ByteWriter(reserving: 16)
    writer.append(token)
    return [UInt8](SHA256.authenticate([UInt8]("name".utf8), key: writer.bytes).prefix(3))
  }

  /// Whether a process on `network` can send to it, as far as is known.
  package func isReachable(on network: any HintNetwork) -> Bool {
    address.port != 0
      && (!address.isLoopback || loopback != 0 && loopback == network.loopback)
  }
}

/// No network: everything works by polling.
package struct NoHints: HintNetwork {
  package init() {}
  package var loopback: UInt64 { 0 }
  package func open(at address: HintAddress) throws(StoreError) -> any HintSocket {
    throw StoreError(.io, "there is no network for hints here")
  }
}
