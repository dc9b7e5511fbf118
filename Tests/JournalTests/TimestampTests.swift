import SluiceShared
import Testing

@Suite("Times as RFC 3339 writes them")
struct TimestampTests {
  @Test(
    arguments: [
      ("1970-01-01T00:00:00Z", 0), ("1969-12-31T23:59:59.999Z", -1),
      ("2026-11-22T10:00:00.123Z", 1_795_341_600_123),
      ("2026-11-22t11:00:00.1239999+01:00", 1_795_341_600_123),
      ("2026-11-22 04:30:00.12z", 1_795_321_800_120),
      ("2026-11-22T04:30:00-05:30", 1_795_341_600_000),
      ("2000-02-29T00:00:00.007Z", 951_782_400_007),
      ("2016-12-31T23:59:60Z", 1_483_228_800_000), ("0000-03-01T00:00:00Z", -62_162_035_200_000),
      ("9999-12-31T23:59:59Z", 253_402_300_799_000),
    ] as [(String, Int64)])
  func isRead(text: String, expected: Int64) {
    #expect(milliseconds(ofTimestamp: text) == expected)
  }

  @Test(arguments: [
    "", "2026-11-22", "2026-11-22T10:00Z", "2026-11-22T10:00:00", "2026-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-32T00:00:00Z",
    "2026-04-31T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z",
    "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+1:00", "2026-01-01T00:00:00Z ",
    "2026-01-01T00:00:00+24:00", "26-01-01T00:00:00Z", "+026-01-01T00:00:00Z",
    "2026-01-01T00:00:00\u{662}Z",
  ])
  func isRefused(text: String) { #expect(milliseconds(ofTimestamp: text) == nil) }

  @Test func whatIsWrittenIsRead() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<1000 {
      let time_ms = Int64.random(in: -62_167_219_200_000...253_402_300_799_999, using: &random)
      #expect(milliseconds(ofTimestamp: timestamp(time_ms)) == time_ms)
    }
  }
}
