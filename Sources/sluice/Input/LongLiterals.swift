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
    /// Of its first quote.
    var quote: Int
    /// Its first part, which is not in the text.
    var folded: FoldedLiteral?
  }

  private let text: [UInt8]
  private let folded: [FoldedLiteral]
  private var literals: [Literal] = []

  /// The statement with so many of its longest literals as parameters that its text has at most
  /// `limit` bytes, and all that are folded; nil where that cannot be done.
  static func lifted(_ statement: String, folded: [FoldedLiteral] = [], limit: Int)
    -> Batch.Statement?
  {
    guard mayHaveParameters(statement) else { return nil }
    return LongLiterals(statement, folded).lifted(limit)
  }

  /// What is kept in the schema has none.
  private static func mayHaveParameters(_ statement: String) -> Bool {
    var tokens = LeadingTokens(statement)
    return ["insert", "replace", "update", "delete", "select", "values", "with"]
      .contains(tokens.keyword())
  }

  private init(_ statement: String, _ folded: [FoldedLiteral]) {
    text = Array(statement.utf8)
    self.folded = folded
    findLiterals()
  }

  private func lifted(_ limit: Int) -> Batch.Statement? {
    // "?32766" takes that many bytes.
    let parameterBytes = 6
    var bytes = text.count
    var chosen: [(literal: Literal, value: SQLValue)] = []
    let longestFirst = literals.sorted {
      ($0.folded != nil ? 1 : 0, $0.range.count) > ($1.folded != nil ? 1 : 0, $1.range.count)
    }
    for literal in longestFirst {
      guard chosen.count < Limits.parametersPerStatement,
        literal.folded != nil || bytes > limit && literal.range.count > parameterBytes
      else { break }
      guard let value = value(of: literal) else { continue }
      chosen.append((literal, value))
      bytes -= literal.range.count - parameterBytes
    }
    guard bytes <= limit, chosen.count(where: { $0.literal.folded != nil }) == folded.count else {
      return nil
    }
    chosen.sort { $0.literal.range.lowerBound < $1.literal.range.lowerBound }
    var sql: [UInt8] = []
    var copied = 0
    for (i, choice) in chosen.enumerated() {
      sql += text[copied..<choice.literal.range.lowerBound]
      sql += "?\(i + 1)".utf8
      copied = choice.literal.range.upperBound
    }
    sql += text[copied...]
    return Batch.Statement(String(decoding: sql, as: UTF8.self), chosen.map(\.value))
  }

  /// nil for a blob whose digits are none.
  private func value(of literal: Literal) -> SQLValue? {
    let content = text[(literal.quote + 1)..<max(literal.quote + 1, literal.range.upperBound - 1)]
    let isBlob = literal.quote > literal.range.lowerBound
    let rest: [UInt8]
    if isBlob {
      guard let bytes = FoldedLiteral.bytes(hexadecimal: content) else { return nil }
      rest = bytes
    } else {
      rest = FoldedLiteral.unquoted(content)
    }
    let pieces = (literal.folded?.pieces ?? []) + [rest]
    let count = pieces.reduce(0) { $0 + $1.count }
    if isBlob { return .blob([UInt8](unsafeUninitializedCapacity: count) { $1 = $0.fill(pieces) }) }
    return .text(String(unsafeUninitializedCapacity: count) { $0.fill(pieces) })
  }

  // MARK: Finding them

  private mutating func findLiterals() {
    var position = 0
    while position < text.count {
      let byte = text[position]
      switch byte {
      case UInt8(ascii: "'"):
        let end = endOfQuoted(position, by: byte)
        add(position..<end, quote: position)
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
    add(start..<endOfBlob, quote: end)
    return endOfBlob
  }

  private mutating func add(_ range: Range<Int>, quote: Int) {
    guard range.upperBound - quote >= 2 else { return }
    literals.append(
      Literal(range: range, quote: quote, folded: folded.first { $0.quote == quote }))
  }
}

extension UnsafeMutableBufferPointer<UInt8> {
  /// Puts the pieces one behind the other; returns how many bytes they have.
  fileprivate func fill(_ pieces: [[UInt8]]) -> Int {
    var position = 0
    for piece in pieces {
      position = self[position...].update(fromContentsOf: piece)
    }
    return position
  }
}
