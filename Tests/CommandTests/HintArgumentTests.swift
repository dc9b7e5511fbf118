import SluiceShared
import Testing

@testable import sluice

@Suite("--hints is an address that others reach, or off")
struct HintArgumentTests {
  @Test func parsed() throws {
    #expect(HintArgument(argument: "off") == .off)
    #expect(HintArgument(argument: "auto:7400") == .own(port: 7400))
    for (text, host, port) in [
      ("10.0.0.5:7400", "10.0.0.5", 7400), ("[fd00::5]:0", "fd00::5", 0),
    ] as [(String, String, UInt16)] {
      let address = try #require(HintAddress(host: host, port: port))
      #expect(HintArgument(argument: text) == .address(address), "\(text)")
    }
    for text in ["", "auto", "auto:", "auto:65536", ":7400", "0.0.0.0:7400", "[::]:1", "host:1"] {
      #expect(HintArgument(argument: text) == nil, "\(text)")
    }
  }
}
