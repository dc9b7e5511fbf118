import Testing

@testable import SluiceShared

@Suite("Hints are taken at the address under which others find the host")
struct OwnAddressTests {
  private func address(_ text: String) throws -> HintAddress {
    try #require(HintAddress(host: text, port: 0))
  }

  @Test func theOnlyOneOfTheFamilyIsTaken() throws {
    let (four, six) = (try address("10.0.1.17"), try address("fd00::5"))
    #expect(try OwnAddress.choose(among: [six, four], route: { _ in nil }) == four)
    #expect(try OwnAddress.choose(among: [six], route: { _ in nil }) == six)
  }

  @Test func ofSeveralTheOneOfTheDefaultRoute() throws {
    let (one, other) = (try address("172.17.0.1"), try address("10.0.1.17"))
    #expect(try OwnAddress.choose(among: [one, other], route: { _ in other }) == other)
  }

  /// A guess would be told to all writers, and hints would go nowhere.
  @Test func whereNothingSaysWhichItIsAsked() throws {
    let (one, other) = (try address("172.17.0.1"), try address("10.0.1.17"))
    for route in [nil, try address("192.168.0.1")] {
      let error = #expect(throws: StoreError.self) {
        try OwnAddress.choose(among: [one, other], route: { _ in route })
      }
      let message = try #require(error).message
      #expect(message.contains("172.17.0.1, 10.0.1.17") && message.contains("--hints"))
    }
    #expect(throws: StoreError.self) { try OwnAddress.choose(among: [], route: { _ in nil }) }
  }

  /// On whatever machine this runs: an address with which a socket can be had, or a word about why not.
  @Test func thisHostsOwn() throws {
    do {
      let own = try OwnAddress.find(port: 0)
      #expect(!own.isLoopback && !own.isUnspecified)
      _ = try UDPHints().open(at: own)
    } catch {
      #expect(error.message.contains("--hints"))
    }
  }
}
