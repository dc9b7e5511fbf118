import SluiceShared
import Testing

@Suite("status shows the hints that an applier took, which it does unless it is told not to")
struct HintedStatusTests {
  private func hints(_ place: Workplace) throws -> JSON {
    let status = try #require(sluice(["status", place.store, "--json"]).json().first)
    return try #require(status["hints"])
  }

  @Test("By default it takes them of this host, and says how many came, and how many were of use")
  func byDefault() throws {
    let place = try Workplace()
    try place.make(applying: false)
    try place.startApplier()
    try place.execute("CREATE TABLE t(a)", "--wait", "applied")
    let began = SystemClock().elapsed()
    var told: JSON
    var n = 0
    repeat {
      n += 1
      try place.execute("INSERT INTO t VALUES(\(n))", "--wait", "applied")
      told = try hints(place)
    } while (told["useful"]?.integer ?? 0 == 0 || told["sent"]?.integer ?? 0 == 0)
      && SystemClock().elapsed() - began < .seconds(120)
    #expect(told["address"]?.string?.hasPrefix("127.0.0.1:") ?? false, "\(told)")
    let (received, useful, sent) = (told["received"], told["useful"], told["sent"])
    #expect(received?.integer ?? 0 > 0 && useful?.integer ?? 0 > 0, "\(told)")
    #expect(sent?.integer ?? 0 > 0, "\(told)")
    let text = try sluice(["status", place.store]).lines.first { $0.hasPrefix("hints") }
    #expect(text?.contains("127.0.0.1:") ?? false, "\(text ?? "")")
  }

  @Test("With --hints off there are none")
  func off() throws {
    let place = try Workplace()
    try place.make(applying: false)
    try place.startApplier("--hints", "off")
    try place.execute("CREATE TABLE t(a)", "--wait", "applied")
    let told = try hints(place)
    #expect(told["address"] == nil && told["received"]?.integer == 0, "\(told)")
    #expect(told["sent"]?.integer == 0, "\(told)")
  }
}
