import SluiceJournal
import SluiceSQLite
import SluiceShared

/// The texts and blobs that stand in a statement of a script, for one that is too long: as parameters
/// they need not be in the SQL text. `INSERT INTO t VALUES(1,'…')` becomes `INSERT INTO t
/// VALUES(1,?1)`, which does the same.
struct LongLiterals {
  private struct Literal {
    /// Its place in the text, quotes and X included.
    var range: Range<Int>
    var value: SQLValue
  }

  private let text: [UInt8]
  private var literals: [Literal] = []

  /// `statement` with so many of its longest literals as parameters that its text has at most
  /// `limit` bytes; nil where that cannot be done.
  static func lifted(_ statement: String, limit: Int) -> Batch.Statement? {
    guard mayHaveParameters(statement) else { return nil }
    return LongLiterals(statement).lifted(limit)
  }

  /// What is kept in the schema has none.
  private static func mayHaveParameters(_ statement: String) -> Bool {
    var tokens = LeadingTokens(statement)
    return ["insert", "replace", "update", "delete", "select", "values", "with"]
      .contains(tokens.keyword())
  }

  private init(_ statement: String) {
    text = Array(statement.utf8)
    findLiterals()
  }

  private func lifted(_ limit: Int) -> Batch.Statement? {
    // "?32766" takes that many bytes.
    let parameterBytes = 6
    var bytes = text.count
    var chosen: [Literal] = []
    for literal in literals.sorted(by: { $0.range.count > $1.range.count }) {
      guard bytes > limit, chosen.count < Limits.parametersPerStatement,
        literal.range.count > parameterBytes
      else { break }
      chosen.append(literal)
      bytes -= literal.range.count - parameterBytes
    }
    guard bytes <= limit else { return nil }
    chosen.sort { $0.range.lowerBound < $1.range.lowerBound }
    var sql: [UInt8] = []
    var copied = 0
    for (i, literal) in chosen.enumerated() {
      sql += text[copied..<literal.range.lowerBound]
      sql += "?\(i + 1)".utf8
      copied = literal.range.upperBound
    }
    sql += text[copied...]
    return Batch.Statement(String(decoding: sql, as: UTF8.self), chosen.map(\.value))
  }

  // MARK: Finding them

  private mutating func findLiterals() {
    var position = 0
    while position < text.count {
      let byte = text[position]
      switch byte {
      case UInt8(ascii: "'"):
        let end = endOfQuoted(position, by: byte)
        addText(position..<end)
        position = end
      case UInt8(ascii: "\""), UInt8(ascii: "`"): position = endOfQuoted(position, by: byte)
      case UInt8(ascii: "["):
        position = (text[position...].firstIndex(of: UInt8(ascii: "]")) ?? text.count - 1) + 1
      case UInt8(ascii: "-") where next(position) == byte:
        position = text[position...].firstIndex(of: UInt8(ascii: "\n")) ?? text.count
      case UInt8(ascii: "/") where next(position) == UInt8(ascii: "*"):
        position = endOfComment(position)
      case _ where LeadingTokens.isWord(byte): position = endOfWord(position)
      default: position += 1
      }
    }
  }

  private func next(_ position: Int) -> UInt8? {
    position + 1 < text.count ? text[position + 1] : nil
  }

  /// Behind the closing quote; one that is doubled is none.
  private func endOfQuoted(_ start: Int, by quote: UInt8) -> Int {
    var position = start + 1
    while let end = text[position...].firstIndex(of: quote) {
      guard next(end) == quote else { return end + 1 }
      position = end + 2
    }
    return text.count
  }

  private func endOfComment(_ start: Int) -> Int {
    var position = start + 2
    while let star = text[min(position, text.count)...].firstIndex(of: UInt8(ascii: "*")) {
      if next(star) == UInt8(ascii: "/") { return star + 2 }
      position = star + 1
    }
    return text.count
  }

  /// A word, or a blob: X and a string behind it.
  private mutating func endOfWord(_ start: Int) -> Int {
    let end = text[start...].firstIndex { !LeadingTokens.isWord($0) } ?? text.count
    guard end == start + 1, text[start] | 0x20 == UInt8(ascii: "x"), end < text.count,
      text[end] == UInt8(ascii: "'")
    else { return end }
    let endOfBlob = endOfQuoted(end, by: UInt8(ascii: "'"))
    if let bytes = LongLiterals.bytes(hexadecimal: text[(end + 1)..<max(end + 1, endOfBlob - 1)]) {
      literals.append(Literal(range: start..<endOfBlob, value: .blob(bytes)))
    }
    return endOfBlob
  }

  private mutating func addText(_ range: Range<Int>) {
    guard range.count >= 2 else { return }
    let quote = UInt8(ascii: "'")
    var content: [UInt8] = []
    content.reserveCapacity(range.count)
    var position = range.lowerBound + 1
    while position < range.upperBound - 1 {
      let end = text[position..<range.upperBound - 1].firstIndex(of: quote) ?? range.upperBound - 1
      content += text[position..<end]
      if end < range.upperBound - 1 { content.append(quote) }
      position = end + 2
    }
    literals.append(
      Literal(range: range, value: .text(String(decoding: content, as: UTF8.self))))
  }

  private static func bytes(hexadecimal digits: ArraySlice<UInt8>) -> [UInt8]? {
    guard digits.count % 2 == 0 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(digits.count / 2)
    var high: UInt8?
    for digit in digits {
      let value: UInt8
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): value = digit - UInt8(ascii: "A") + 10
      default: return nil
      }
      if let first = high {
        bytes.append(first << 4 | value)
        high = nil
      } else {
        high = value
      }
    }
    return bytes
  }
}
