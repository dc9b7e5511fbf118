import SluiceShared

/// Blobs in JSON: RFC 4648, section 4, as strict as section 3 allows, so that a blob has one
/// spelling only.
enum Base64 {
  private static let digits = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let noDigit: UInt8 = 0xFF
  /// The value of each byte that is a digit.
  private static let values: [UInt8] = {
    var values = [UInt8](repeating: noDigit, count: 256)
    for (value, digit) in digits.enumerated() { values[Int(digit)] = UInt8(value) }
    return values
  }()
  private static let padding = UInt8(ascii: "=")

  static func encode(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    for first in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[first..<min(first + 3, bytes.count)]
      let bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << (8 * (3 - group.count))
      for place in 0..<4 {
        let digit = digits[Int(bits >> (18 - 6 * place)) & 63]
        text.append(place <= group.count ? digit : padding)
      }
    }
    return String(decoding: text, as: UTF8.self)
  }

  static func decode(_ text: String) throws(DecodingError) -> [UInt8] {
    var text = text
    let result = text.withUTF8 { digits -> Result<[UInt8], DecodingError> in
      do throws(DecodingError) { return .success(try decode(digits)) } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  private static func decode(_ text: UnsafeBufferPointer<UInt8>) throws(DecodingError) -> [UInt8] {
    guard text.count % 4 == 0 else {
      throw DecodingError(
        "base64 comes in groups of four characters, this has \(text.count); pad it with =")
    }
    let padded = text.suffix(2).filter { $0 == padding }.count
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count / 4 * 3)
    var bits: UInt32 = 0
    for (place, digit) in text.dropLast(padded).enumerated() {
      let value = values[Int(digit)]
      guard value != noDigit else {
        throw DecodingError(
          "character \(place + 1) is not of base64's standard alphabet (A–Z a–z 0–9 + /)")
      }
      bits = bits << 6 | UInt32(value)
      if place % 4 == 3 {
        bytes.append(UInt8(truncatingIfNeeded: bits >> 16))
        bytes.append(UInt8(truncatingIfNeeded: bits >> 8))
        bytes.append(UInt8(truncatingIfNeeded: bits))
        bits = 0
      }
    }
    try appendLastGroup(bits, padded: padded, to: &bytes)
    return bytes
  }

  /// The bytes of a group that has `padded` digits less than four.
  private static func appendLastGroup(_ bits: UInt32, padded: Int, to bytes: inout [UInt8])
    throws(DecodingError)
  {
    guard padded > 0 else { return }
    let unused = 2 * padded
    guard bits & (1 << unused - 1) == 0 else {
      throw DecodingError("base64's last character has bits that belong to no byte; it is cut off")
    }
    if padded == 1 { bytes.append(UInt8(truncatingIfNeeded: bits >> 10)) }
    bytes.append(UInt8(truncatingIfNeeded: bits >> (padded == 1 ? 2 : 4)))
  }
}
