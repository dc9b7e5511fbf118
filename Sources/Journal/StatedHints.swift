package import SluiceShared

/// Where the holder of a log segment takes hints, and how many there were in its process, as its beacon says.
package struct StatedHints: Hashable, Sendable {
  /// nil: nowhere, or in a way that this version does not know.
  package var endpoint: HintEndpoint?
  package var received: UInt64 = 0
  package var useful: UInt64 = 0
  package var sent: UInt64 = 0

  package init() {}

  private static let ipv4: UInt8 = 4
  private static let ipv6: UInt8 = 6

  func encode(to writer: inout ByteWriter) {
    let family = endpoint.map { $0.address.isIPv6 ? Self.ipv6 : Self.ipv4 }
    writer.append(family ?? 0)
    writer.append(UInt8(0))
    writer.append(endpoint?.address.port ?? 0)
    writer.append((endpoint?.address.high ?? 0).bigEndian)
    writer.append((endpoint?.address.low ?? 0).bigEndian)
    writer.append(endpoint?.token ?? Identifier128(high: 0, low: 0))
    writer.append(endpoint?.loopback ?? 0)
    writer.append(received)
    writer.append(useful)
    writer.append(sent)
  }

  init(from reader: inout ByteReader) throws(DecodingError) {
    let family = try reader.integer(UInt8.self)
    _ = try reader.take(1)
    let port = try reader.integer(UInt16.self)
    let high = UInt64(bigEndian: try reader.integer(UInt64.self))
    let low = UInt64(bigEndian: try reader.integer(UInt64.self))
    let token = try reader.identifier()
    let loopback = try reader.integer(UInt64.self)
    if family == Self.ipv4 || family == Self.ipv6 {
      endpoint = HintEndpoint(
        address: HintAddress(high: high, low: low, port: port, isIPv6: family == Self.ipv6),
        token: token, loopback: loopback)
    }
    received = try reader.integer()
    useful = try reader.integer()
    sent = try reader.integer()
  }
}
