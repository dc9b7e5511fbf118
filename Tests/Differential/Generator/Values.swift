import SluiceShared

/// Values of every type, the odd ones often.
struct Values {
  /// Not the largest integer: as a rowid it makes SQLite choose the next ones at random, the one
  /// stated exception to repeatability.
  static let integers: [Int64] = [
    0, 1, -1, 2, 3, 5, 7, 10, 100, 255, 256, -128, 65_536, 1 << 31, 1 << 53, (1 << 53) + 1,
    -(1 << 62), .min, 1 << 62,
  ]
  static let reals: [Double] = [
    0.0, -0.0, 0.5, 1.0, -1.5, 1e10, 1e-300, 1.7976931348623157e308, Double.leastNonzeroMagnitude,
    .infinity, -.infinity,
    .nan, 9_007_199_254_740_992, 3.14,
  ]
  static let texts = [
    "", "a", "A", "b", "x'y\"z", "1", "1.0", " 1", "abc", "ABC", "é", "e\u{301}", "漢字", "\u{0}",
    "a\u{0}b",
    "-0", "1e3", "0x10", "null", "%_%", "2023-01-01", "{\"a\":[1,2.5,null]}", "😀", "true",
    "one two three", "two \"three\" four",
  ]

  static func any(_ choose: inout Chooser) -> SQLValue {
    switch choose.below(20) {
    case 0, 1: .null
    case 2...9: .integer(choose.chance(0.8) ? Int64(choose.below(12)) : choose.one(integers))
    case 10, 11: .real(choose.one(reals))
    case 12...16: .text(text(&choose))
    case 17, 18: .blob(blob(&choose, atMost: 24))
    default:
      switch choose.below(60) {
      case 0: .blob(blob(&choose, atMost: 100_000))
      case 1: .text(String(repeating: choose.one(texts), count: choose.below(3000)))
      default: .integer(choose.one(integers))
      }
    }
  }

  static func text(_ choose: inout Chooser) -> String {
    choose.chance(0.7) ? choose.one(texts) : "k\(choose.below(20))"
  }

  /// Any bytes, most of them no UTF-8.
  static func blob(_ choose: inout Chooser, atMost count: Int) -> [UInt8] {
    (0..<choose.below(count + 1)).map { _ in UInt8(truncatingIfNeeded: choose.next() >> 24) }
  }

  /// As SQL writes it.
  static func literal(_ value: SQLValue) -> String {
    switch value {
    case .null: return "NULL"
    case .integer(let number): return number == .min ? "(-9223372036854775807-1)" : "\(number)"
    case .real(let number):
      if number.isNaN { return "NULL" }
      if number.isInfinite { return number < 0 ? "-9e999" : "9e999" }
      return "\(number)"
    case .text(let text):
      // A NUL in a text is refused before SQLite would stop there.
      let parts = text.split(separator: "'", omittingEmptySubsequences: false)
      return "'" + parts.joined(separator: "''").filter { $0 != "\u{0}" } + "'"
    case .blob(let bytes):
      return "x'" + bytes.prefix(64).map { hexadecimal($0, width: 2) }.joined() + "'"
    }
  }
}
