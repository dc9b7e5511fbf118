import Testing

@testable import sluice

@Suite("The address of --metrics is one that can be listened at")
struct MetricsAddressTests {
  @Test func parsed() {
    for (text, host, port) in [
      ("127.0.0.1:9464", "127.0.0.1", 9464), (":80", "", 80), ("[::]:0", "::", 0),
      ("[fe80::1]:65535", "fe80::1", 65535),
    ] as [(String, String, UInt16)] {
      let address = MetricsAddress(argument: text)
      #expect(address?.host == host && address?.port == port, "\(text)")
    }
    for text in ["", "9464", "127.0.0.1", "::1:80", "a:65536", "a:-1", "a:", "[::1]"] {
      #expect(MetricsAddress(argument: text) == nil, "\(text)")
    }
  }
}
