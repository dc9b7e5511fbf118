import ArgumentParser

/// Where `apply --metrics` listens: `127.0.0.1:9464`, `[::1]:9464`, or `:9464` for all of this host's addresses.
struct MetricsAddress: ExpressibleByArgument, Equatable {
  /// Numeric; empty for all.
  var host: String
  var port: UInt16

  init?(argument: String) {
    guard let colon = argument.lastIndex(of: ":"),
      let port = UInt16(argument[argument.index(after: colon)...])
    else { return nil }
    var host = argument[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = host.dropFirst().dropLast()
    } else if host.contains(":") {
      // Nobody knows where such an address ends.
      return nil
    }
    self.host = String(host)
    self.port = port
  }
}
