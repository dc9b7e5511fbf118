/// The first part of a long text or blob in a script, taken out of the statement's text while that was being
/// read: what a blob's hexadecimal digits say takes half their room, and nothing of the text is needed twice.
///
/// The statement's text keeps the literal with what is left of it: of `x'…'` the last digits, of `'…'` the
/// last characters.
package struct FoldedLiteral: Hashable, Sendable {
  /// Of the literal's first quote, in bytes from the beginning of the statement's text.
  package let quote: Int
  package let isBlob: Bool
  /// What was taken out, as it is meant: no digits, and no doubled quotes.
  package fileprivate(set) var pieces: [[UInt8]]

  package var byteCount: Int { pieces.reduce(0) { $0 + $1.count } }

  /// The bytes that hexadecimal digits mean; nil where they mean none.
  package static func bytes(hexadecimal digits: ArraySlice<UInt8>) -> [UInt8]? {
    guard digits.count % 2 == 0 else { return nil }
    var isHexadecimal = true
    let bytes = [UInt8](unsafeUninitializedCapacity: digits.count / 2) { bytes, count in
      digits.withUnsafeBufferPointer { digits in
        for i in 0..<digits.count / 2 {
          guard let high = value(digits[2 * i]), let low = value(digits[2 * i + 1]) else {
            isHexadecimal = false
            return
          }
          bytes[i] = high << 4 | low
          count = i + 1
        }
      }
    }
    return isHexadecimal ? bytes : nil
  }

  private static func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  /// What characters between quotes mean, where a doubled quote is one; a single one is not among them.
  package static func unquoted(_ characters: ArraySlice<UInt8>) -> [UInt8] {
    let quote = UInt8(ascii: "'")
    var content: [UInt8] = []
    content.reserveCapacity(characters.count)
    var position = characters.startIndex
    while position < characters.endIndex {
      guard let end = characters[position...].firstIndex(of: quote) else {
        content += characters[position...]
        break
      }
      content += characters[position...end]
      position = end + 2
    }
    return content
  }
}

/// Takes the long literals of one statement out of its text as it grows.
struct LiteralFolding {
  /// A literal is folded when so many bytes of it were read.
  let threshold: Int
  private var folded: [FoldedLiteral] = []
  private(set) var byteCount = 0
  /// Of a literal that cannot be folded, since it is not what it seems.
  private var unfit: Int?

  init(threshold: Int) { self.threshold = threshold }

  private static let quote = UInt8(ascii: "'")

  /// `text` is the statement until now, and ends within a string: folds what it can of that. Returns how many
  /// bytes shorter the text became.
  mutating func fold(_ text: inout [UInt8]) -> Int {
    guard text.count > threshold, let start = LiteralFolding.openingQuote(text), start != unfit,
      text.count - start > threshold
    else { return 0 }
    let isBlob = LiteralFolding.isBlob(text, start)
    let content = (start + 1)..<LiteralFolding.end(text, from: start + 1, isBlob)
    guard !content.isEmpty else { return 0 }
    guard let piece = LiteralFolding.piece(text[content], isBlob) else {
      unfit = start
      return 0
    }
    if folded.last?.quote == start {
      folded[folded.count - 1].pieces.append(piece)
    } else {
      folded.append(FoldedLiteral(quote: start, isBlob: isBlob, pieces: [piece]))
    }
    byteCount += piece.count
    text.removeSubrange(content)
    return content.count
  }

  /// Where the literal begins within which `text` ends. A quote that is doubled ends none.
  private static func openingQuote(_ text: [UInt8]) -> Int? {
    var end = text.endIndex
    while let last = text[..<end].lastIndex(of: quote) {
      var first = last
      while first > 0, text[first - 1] == quote { first -= 1 }
      if (last - first) % 2 == 0 { return first }
      end = first
    }
    return nil
  }

  private static func isBlob(_ text: [UInt8], _ start: Int) -> Bool {
    start > 0 && text[start - 1] | 0x20 == UInt8(ascii: "x")
      && (start == 1 || !LeadingTokens.isWord(text[start - 2]))
  }

  /// Not within a byte of the blob, nor a character.
  private static func end(_ text: [UInt8], from start: Int, _ isBlob: Bool) -> Int {
    if isBlob { return text.count - (text.count - start) % 2 }
    guard let last = text.last, last >= 0x80 else { return text.count }
    // Where all of it are continuations of nothing, none of it is a character.
    return text[start...].lastIndex { $0 & 0xC0 != 0x80 } ?? start
  }

  /// nil for what is no blob, or no text that a statement can have.
  private static func piece(_ content: ArraySlice<UInt8>, _ isBlob: Bool) -> [UInt8]? {
    if isBlob { return FoldedLiteral.bytes(hexadecimal: content) }
    guard !content.contains(0), String(validating: content, as: UTF8.self) != nil else {
      return nil
    }
    return FoldedLiteral.unquoted(content)
  }

  /// The literals of the statement that is complete; what follows is another one.
  mutating func take() -> [FoldedLiteral] {
    defer { self = LiteralFolding(threshold: threshold) }
    return folded
  }
}
