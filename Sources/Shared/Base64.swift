/// Blobs in JSON: RFC 4648, section 4, as strict as section 3 allows, so that a blob has one
/// spelling only.
package enum Base64 {
  private static let digits = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  /// A bit that no digit has.
  private static let noDigit: UInt32 = 1 << 6
  /// The value of each byte that is a digit.
  private static let values: [UInt32] = {
    var values = [UInt32](repeating: noDigit, count: 256)
    for (value, digit) in digits.enumerated() { values[Int(digit)] = UInt32(value) }
    return values
  }()
  private static let padding = UInt8(ascii: "=")

  package static func encode(_ bytes: [UInt8]) -> String {
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

  package static func decode(_ text: String) throws(DecodingError) -> [UInt8] {
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
    let whole = text.count - (padded > 0 ? 4 : 0)
    var bytes = [UInt8](unsafeUninitializedCapacity: text.count / 4 * 3) { buffer, filled in
      filled = decodeGroups(text.prefix(whole), into: buffer)
    }
    let lastGroup = text[whole...].dropLast(padded)
    guard bytes.count == whole / 4 * 3, lastGroup.allSatisfy({ values[Int($0)] != noDigit }) else {
      let place = text.firstIndex { values[Int($0)] == noDigit } ?? text.count
      throw DecodingError(
        "character \(place + 1) is not of base64's standard alphabet (A–Z a–z 0–9 + /)")
    }
    try appendLastGroup(
      lastGroup.reduce(UInt32(0)) { $0 << 6 | values[Int($1)] }, padded: padded, to: &bytes)
    return bytes
  }

  /// Decodes groups of four digits up to the first that is none; returns the bytes written. By pointers:
  /// a blob at its limit has 80 million digits, and a debug build takes a minute for as many elements of
  /// a collection.
  private static func decodeGroups(
    _ text: Slice<UnsafeBufferPointer<UInt8>>, into bytes: UnsafeMutableBufferPointer<UInt8>
  ) -> Int {
    let text = UnsafeBufferPointer(rebasing: text)
    return values.withUnsafeBufferPointer { values in
      guard let digit = text.baseAddress, let value = values.baseAddress,
        let byte = bytes.baseAddress
      else { return 0 }
      var place = 0
      var written = 0
      while place < text.count {
        let first = value[Int(digit[place])]
        let second = value[Int(digit[place + 1])]
        let third = value[Int(digit[place + 2])]
        let fourth = value[Int(digit[place + 3])]
        guard first | second | third | fourth < noDigit else { break }
        let bits = first << 18 | second << 12 | third << 6 | fourth
        byte[written] = UInt8(truncatingIfNeeded: bits >> 16)
        byte[written + 1] = UInt8(truncatingIfNeeded: bits >> 8)
        byte[written + 2] = UInt8(truncatingIfNeeded: bits)
        place += 4
        written += 3
      }
      return written
    }
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
