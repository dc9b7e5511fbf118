/// The first tokens of a statement, in lower case, names without their quotes, comments left out.
package struct LeadingTokens {
  private var rest: Substring.UTF8View

  package init(_ statement: String) { rest = statement[...].utf8 }

  /// The next token where it may be a keyword: a name in quotes is none.
  package mutating func keyword() -> String? {
    skipBlank()
    guard let first = rest.first, LeadingTokens.closingQuote(first) == nil else { return nil }
    return next()
  }

  package mutating func next() -> String? {
    skipBlank()
    guard let first = rest.first else { return nil }
    if let close = LeadingTokens.closingQuote(first) { return quoted(until: close) }
    guard LeadingTokens.isWord(first) else {
      rest.removeFirst()
      return String(UnicodeScalar(first))
    }
    let word = rest.prefix(while: LeadingTokens.isWord)
    rest = rest[word.endIndex...]
    return Substring(word).lowercased()
  }

  private static func closingQuote(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "`"): byte
    case UInt8(ascii: "["): UInt8(ascii: "]")
    default: nil
    }
  }

  private mutating func quoted(until close: UInt8) -> String {
    rest.removeFirst()
    let name = rest.prefix { $0 != close }
    rest = rest[name.endIndex...].dropFirst()
    return Substring(name).lowercased()
  }

  private mutating func skipBlank() {
    while let first = rest.first {
      if first == 0x20 || (0x09...0x0D).contains(first) {
        rest.removeFirst()
      } else if rest.starts(with: "--".utf8) {
        rest = rest.drop { $0 != UInt8(ascii: "\n") }
      } else if rest.starts(with: "/*".utf8) {
        skipBlockComment()
      } else {
        return
      }
    }
  }

  private mutating func skipBlockComment() {
    rest = rest.dropFirst(2)
    while !rest.isEmpty, !rest.starts(with: "*/".utf8) { rest.removeFirst() }
    rest = rest.dropFirst(2)
  }

  package static func isWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...:
      true
    default: false
    }
  }
}
