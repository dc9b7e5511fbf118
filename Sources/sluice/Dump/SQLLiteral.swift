import CSQLite
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared

/// A value as an SQL expression that is the same value again, whichever SQLite reads it; written as
/// the sqlite3 shell does where that is so.
enum SQLLiteral {
  /// Appends the value that a statement's row has in a column.
  static func append(
    _ statement: Statement, _ column: Int32, _ source: any DumpSource,
    to line: inout [UInt8]
  ) throws {
    switch statement.columnType(column) {
    case .null: line += "NULL".utf8
    case .integer: line += "\(statement.columnInteger(column))".utf8
    case .real: line += try real(statement.columnReal(column), source).utf8
    case .text:
      guard let text = statement.columnTextBytes(column) else { return }
      append(text: text, to: &line)
    case .blob:
      line += "X'".utf8
      if let blob = statement.columnBlob(column) { append(hexadecimal: blob, to: &line) }
      line.append(UInt8(ascii: "'"))
    }
  }

  private static func append(hexadecimal bytes: UnsafeRawBufferPointer, to line: inout [UInt8]) {
    let digits = Array("0123456789abcdef".utf8)
    for byte in bytes {
      line.append(digits[Int(byte >> 4)])
      line.append(digits[Int(byte & 15)])
    }
  }

  // MARK: Texts

  /// Characters that would be lost, or would break the line, with what stands for them in the text
  /// and the function that makes them.
  private static let escapes: [(byte: UInt8, marks: [String], character: Int)] = [
    (0x0A, ["\\n", "\\012"], 10), (0x0D, ["\\r", "\\015"], 13), (0x00, ["\\0", "\\000"], 0),
  ]

  /// `'…'`; with line ends or NUL characters `replace('…\n…','\n',char(10))`, with a mark that the
  /// text does not have.
  private static func append(text: UnsafeRawBufferPointer, to line: inout [UInt8]) {
    guard String(validating: text, as: UTF8.self) != nil else {
      // As it is stored; no script that holds it could be read.
      line += "CAST(X'".utf8
      append(hexadecimal: text, to: &line)
      line += "' AS TEXT)".utf8
      return
    }
    let used = escapes.filter { text.contains($0.byte) }
      .map { (byte: $0.byte, mark: unused($0.marks, in: text), character: $0.character) }
    for _ in used { line += "replace(".utf8 }
    line.append(UInt8(ascii: "'"))
    for byte in text {
      if let escape = used.first(where: { $0.byte == byte }) {
        line += escape.mark.utf8
        continue
      }
      line.append(byte)
      if byte == UInt8(ascii: "'") { line.append(byte) }
    }
    line.append(UInt8(ascii: "'"))
    // The innermost first, as the shell does: CR before LF.
    for escape in used.sorted(by: { order($0.byte) < order($1.byte) }) {
      line += ",'\(escape.mark)',char(\(escape.character)))".utf8
    }
  }

  private static func order(_ byte: UInt8) -> Int { byte == 0 ? 0 : byte == 0x0D ? 1 : 2 }

  private static func unused(_ marks: [String], in text: UnsafeRawBufferPointer) -> String {
    var candidates = marks[...]
    var number = 0
    while true {
      let mark = candidates.popFirst() ?? "(\(marks[0])\(number))"
      if !text.contains(mark) { return mark }
      if mark.hasPrefix("(") { number += 1 }
    }
  }

  // MARK: Reals

  private static func real(_ value: Double, _ source: any DumpSource) throws -> String {
    if value.isInfinite { return value < 0 ? "-1e999" : "1e999" }
    if value == 0, value.sign == .minus { return "-0.0" }
    if let integer = Int64(exactly: value) { return "\(integer).0" }
    let text = decimal(value)
    // SQLite 3.40 writes 15 right digits or so of very large and small ones, and may read its own
    // text as another number. Later ones read it as it should be read.
    guard Double(text)?.bitPattern == value.bitPattern,
      case .real(let read)? = try source.scalar("SELECT CAST(? AS REAL)", [.text(text)]),
      read.bitPattern == value.bitPattern
    else { return product(value) }
    return text
  }

  private static func decimal(_ value: Double) -> String {
    var buffer = [CChar](repeating: 0, count: 50)
    csqlite_format_real(value, &buffer, Int32(buffer.count))
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// An odd integer and powers of two: each factor and each product is exact.
  private static func product(_ value: Double) -> String {
    let exponentBits = 50
    var significand = Int64(value.significandBitPattern)
    var exponent = Int(value.exponentBitPattern) - 1075
    if value.exponentBitPattern == 0 { exponent += 1 } else { significand |= 1 << 52 }
    let zeros = significand.trailingZeroBitCount
    significand >>= Int64(zeros)
    exponent += zeros
    var text = "\(value.sign == .minus ? -significand : significand)"
    let sign = exponent < 0 ? "/" : "*"
    var left = abs(exponent)
    while left > 0 {
      text += "\(sign)\(Int64(1) << Int64(min(left, exponentBits))).0"
      left -= exponentBits
    }
    return text
  }
}

extension UnsafeRawBufferPointer {
  fileprivate func contains(_ mark: String) -> Bool {
    let mark = Array(mark.utf8)
    guard let first = mark.first, count >= mark.count else { return false }
    var start = startIndex
    while let found = self[start...].firstIndex(of: first), found + mark.count <= count {
      if self[found..<found + mark.count].elementsEqual(mark) { return true }
      start = found + 1
    }
    return false
  }
}

extension String {
  /// As a name in SQL: in quotes where it needs them, by the shell's rule.
  var quotedForSQL: String {
    let isLetter = { (byte: UInt8) in
      (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || byte == UInt8(ascii: "_")
    }
    let isPlain =
      utf8.first.map(isLetter) == true
      && utf8.allSatisfy {
        isLetter($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
      } && sqlite3_keyword_check(self, Int32(utf8.count)) == 0
    guard !isPlain else { return self }
    return quoted(self)
  }
}
