internal import CSystem
internal import Glibc

/// Under which of its addresses a host is found by others.
package enum OwnAddress {
  /// The address that this host has, with `port`. Of several the one that the default route begins at. Throws
  /// `.invalid` where there is none, or nothing says which.
  package static func find(port: UInt16) throws(StoreError) -> HintAddress {
    var found = [csystem_udp_address](repeating: csystem_udp_address(), count: 64)
    let count = csystem_udp_own(&found, 64)
    guard count >= 0 else {
      throw StoreError(
        .io, "this host's addresses cannot be listed: \(String(cString: strerror(-count)))",
        errno: -count)
    }
    let own = found.prefix(Int(count)).map { HintAddress($0) }
    var address = try choose(among: own, route: { source(towards: $0) })
    address.port = port
    return address
  }

  /// IPv4 where there is any. `route` tells which address datagrams to another one come from.
  static func choose(among own: [HintAddress], route: (HintAddress) -> HintAddress?)
    throws(StoreError) -> HintAddress
  {
    let four = own.filter { !$0.isIPv6 }
    let candidates = four.isEmpty ? own : four
    guard let first = candidates.first else {
      throw StoreError(
        .invalid,
        "this host has no address that others reach; name one (--hints ADDRESS:PORT), or take no hints (--hints off)"
      )
    }
    guard candidates.count > 1 else { return first }
    if let routed = route(first.isIPv6 ? documentationSix : documentationFour),
      candidates.contains(routed)
    {
      return routed
    }
    let list = candidates.map { "\($0)".split(separator: ":").dropLast().joined(separator: ":") }
    throw StoreError(
      .invalid,
      "this host has the addresses \(list.joined(separator: ", ")), and no default route says which one others reach; name it (--hints ADDRESS:PORT)"
    )
  }

  /// 192.0.2.1 and 2001:db8::1: of networks that exist in documents only, so that what leads there is the
  /// default route.
  private static let documentationFour = HintAddress(high: 0xc000_0201 << 32, port: 9)
  private static let documentationSix = HintAddress(
    high: 0x2001_0db8 << 32, low: 1, port: 9, isIPv6: true)

  private static func source(towards peer: HintAddress) -> HintAddress? {
    var (to, from) = (csystem_udp_address(peer), csystem_udp_address())
    return csystem_udp_source(&to, &from) == 0 ? HintAddress(from) : nil
  }
}
