import SluiceShared
import Testing

@testable import sluice

@Suite("Base64 has one spelling")
struct Base64Tests {
  @Test(
    "The examples of RFC 4648",
    arguments: [
      ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
      ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
    ])
  func examples(plain: String, encoded: String) throws {
    #expect(Base64.encode(Array(plain.utf8)) == encoded)
    #expect(try Base64.decode(encoded) == Array(plain.utf8))
  }

  @Test("Every byte at every place comes back")
  func roundTrip() throws {
    for count in 0...7 {
      for byte in UInt8.min ... .max {
        for place in 0..<count {
          var bytes = [UInt8](repeating: 0xA5, count: count)
          bytes[place] = byte
          #expect(try Base64.decode(Base64.encode(bytes)) == bytes)
        }
      }
    }
  }

  @Test(
    "What another spelling would be is refused",
    arguments: [
      "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm 9v", "Zm9v\n", "Z-9v", "Z_9v", "====", "=AAA",
      "A===",
      "AA=A", "Zg==Zg==", "Zm9vé", "AAA\0",
    ])
  func strict(text: String) {
    #expect(throws: SluiceShared.DecodingError.self) { try Base64.decode(text) }
  }
}
