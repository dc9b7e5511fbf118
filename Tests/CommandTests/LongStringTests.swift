import SluiceShared
import Testing

@testable import sluice

/// Strings over 64 KiB are cut into pieces for the parser.
@Suite("A long string is read as a short one is")
struct LongStringTests {
  private static let cut = 64 << 10

  /// What may lie where a string is cut, as JSON writes it, and what it says.
  @Test(
    arguments: [
      ("é", "é"), ("😀", "😀"), ("\\n", "\n"), ("\\\\", "\\"), ("\\\"", "\""), ("\\u00e9", "é"),
      ("\\ud83d\\ude00", "😀"), ("\\\\\\\"", "\\\""), ("\\\\\\\\\\\\", "\\\\\\"),
    ] as [(String, String)])
  func whateverLiesAtACut(written: String, said: String) throws {
    for before in Self.cut - 13...Self.cut + 2 {
      let (head, tail) = (String(repeating: "a", count: before), String(repeating: "b", count: 99))
      let text = "[\"\(written)\", \"\(head)\(written)\(written)\(tail)\", \"\(written)\"]"
      let expected = [said, head + said + said + tail, said].map { JSON.string($0) }
      #expect(try JSON.parse(lean: Array(text.utf8)) == .array(expected), "\(before)")
    }
  }

  @Test func manyPiecesAndAQuoteAtTheEnd() throws {
    let long = String(repeating: "0123456789", count: 3 * Self.cut / 10)
    let text = "{\"a\\\\\": \"\(long)\\\\\", \"b\": \"\\\\\\\"\(long)\"}"
    let expected: [String: JSON] = [
      "a\\": .string(long + "\\"), "b": .string("\\\"" + long),
    ]
    #expect(try JSON.parse(lean: Array(text.utf8)) == .object(expected))
  }

  @Test func aStringWithoutAnEndIsRefused() {
    let long = String(repeating: "a", count: 2 * Self.cut)
    for text in ["[\"\(long)", "[\"\(long)\\\"", "[\"\(long)\\\\\\\"]"] {
      #expect(throws: SluiceShared.DecodingError.self) {
        try JSON.parse(lean: Array(text.utf8))
      }
    }
  }
}
