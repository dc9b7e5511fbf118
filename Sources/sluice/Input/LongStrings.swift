import SluiceShared

// The parser takes several times the memory of a string for a moment. So long ones do not go through
// it as a whole: they are cut into pieces, each of which it reads by itself, and stand in the text as a
// short one that is put in their place again.

extension JSON {
  /// As `parse`, with about the memory of what comes out.
  static func parse(lean text: [UInt8]) throws(DecodingError) -> JSON {
    let long = longStrings(in: text)
    guard !long.isEmpty else { return try parse(bytes: text[...]) }
    // Nobody can have guessed it.
    let mark = "long string \(hexadecimal(UInt64.random(in: .min ... .max), width: 16)) "
    var short: [UInt8] = []
    var end = 0
    for (i, range) in long.enumerated() {
      short += text[end..<range.lowerBound]
      short += Array("\(mark)\(i)".utf8)
      end = range.upperBound
    }
    short += text[end...]
    do throws(DecodingError) {
      let json = try parse(bytes: short[...])
      return try json.replacing(mark) { (i) throws(DecodingError) in
        guard long.indices.contains(i) else { throw DecodingError("no string") }
        return try string(long[i], of: text)
      }
    } catch {
      // For what is wrong and where, in the whole text.
      return try parse(bytes: text[...])
    }
  }

  private static let longest = 64 << 10

  /// Where strings are that are longer, without their quotes.
  private static func longStrings(in text: [UInt8]) -> [Range<Int>] {
    var found: [Range<Int>] = []
    var start: Int?
    var searched = 0
    while let quote = text.firstIndex(of: UInt8(ascii: "\""), in: searched..<text.count) {
      searched = quote + 1
      guard let begin = start else {
        start = quote + 1
        continue
      }
      // Behind an odd number of backslashes it is a character of the string.
      var backslashes = quote
      while backslashes > begin, text[backslashes - 1] == UInt8(ascii: "\\") { backslashes -= 1 }
      guard (quote - backslashes) % 2 == 0 else { continue }
      if quote - begin > longest { found.append(begin..<quote) }
      start = nil
    }
    return found
  }

  /// The content of a string, read piece by piece.
  private static func string(_ raw: Range<Int>, of text: [UInt8]) throws(DecodingError) -> String {
    var result = ""
    result.reserveCapacity(raw.count)
    var start = raw.lowerBound
    while start < raw.upperBound {
      let end = pieceEnd(start..<raw.upperBound, of: text)
      let quote = [UInt8(ascii: "\"")]
      guard let piece = try parse(bytes: (quote + text[start..<end] + quote)[...]).string else {
        throw DecodingError("no string")
      }
      result += piece
      start = end
    }
    return result
  }

  /// Before a character of ASCII that no escape precedes, so that neither an escape, nor two that make a
  /// character, nor the bytes of one are cut.
  private static func pieceEnd(_ raw: Range<Int>, of text: [UInt8]) -> Int {
    let least = raw.lowerBound + longest
    guard least < raw.upperBound else { return raw.upperBound }
    // What has no escape is passed over at once.
    let firstEscape = text.firstIndex(of: UInt8(ascii: "\\"), in: raw.lowerBound..<least)
    var i = firstEscape ?? least
    var isPlain = i > raw.lowerBound
    while i < raw.upperBound {
      if text[i] == UInt8(ascii: "\\") {
        let isNumber = i + 1 < raw.upperBound && text[i + 1] == UInt8(ascii: "u")
        i += isNumber ? 6 : 2
        isPlain = false
        continue
      }
      if isPlain, text[i] < 0x80, i >= least { return i }
      isPlain = true
      i += 1
    }
    return raw.upperBound
  }

  private func replacing(
    _ mark: String, _ string: (Int) throws(DecodingError) -> String
  ) throws(DecodingError) -> JSON {
    switch self {
    case .string(let text):
      guard text.hasPrefix(mark), let i = Int(text.dropFirst(mark.count)) else { return self }
      return .string(try string(i))
    case .array(let elements):
      var replaced: [JSON] = []
      replaced.reserveCapacity(elements.count)
      for element in elements { replaced.append(try element.replacing(mark, string)) }
      return .array(replaced)
    case .object(let members):
      var replaced: [String: JSON] = [:]
      for (name, member) in members {
        guard !name.hasPrefix(mark) else { throw DecodingError("a long name") }
        replaced[name] = try member.replacing(mark, string)
      }
      return .object(replaced)
    default: return self
    }
  }

  private static func parse(bytes: ArraySlice<UInt8>) throws(DecodingError) -> JSON {
    var result: Result<JSON, DecodingError> = .failure(DecodingError("empty"))
    bytes.withUnsafeBytes { raw in
      do throws(DecodingError) { result = .success(try parse(raw)) } catch {
        result = .failure(error)
      }
    }
    return try result.get()
  }
}
