/// Recognizes a line that ends a statement for the sqlite3 shell, byte by byte: `go` (as SQL Server has it)
/// or `/` (Oracle) alone on a line, in any case, with white space and whole comments around.
///
/// Nothing precedes it but white space; a block comment behind it ends on the same line. (The shell's
/// `line_is_command_terminator`, 3.40.1.)
package struct TerminatorLine {
  enum Verdict { case undecided, isTerminator, isNone }

  private enum Place {
    case before, behindG, behind, slash, dash, lineComment, blockComment, blockCommentStar
  }

  private var place = Place.before

  /// Takes the line's next byte, its newline included.
  mutating func consume(_ byte: UInt8) -> Verdict {
    guard byte != UInt8(ascii: "\n") else { return end }
    switch place {
    case .before:
      switch byte {
      case _ where TerminatorLine.isSpace(byte): break
      case UInt8(ascii: "/"): place = .behind
      case UInt8(ascii: "g"), UInt8(ascii: "G"): place = .behindG
      default: return .isNone
      }
    case .behindG:
      guard byte | 0x20 == UInt8(ascii: "o") else { return .isNone }
      place = .behind
    case .behind:
      switch byte {
      case _ where TerminatorLine.isSpace(byte): break
      case UInt8(ascii: "/"): place = .slash
      case UInt8(ascii: "-"): place = .dash
      default: return .isNone
      }
    case .slash:
      guard byte == UInt8(ascii: "*") else { return .isNone }
      place = .blockComment
    case .dash:
      guard byte == UInt8(ascii: "-") else { return .isNone }
      place = .lineComment
    case .lineComment: break
    case .blockComment:
      if byte == UInt8(ascii: "*") { place = .blockCommentStar }
    case .blockCommentStar:
      if byte == UInt8(ascii: "/") {
        place = .behind
      } else if byte != UInt8(ascii: "*") {
        place = .blockComment
      }
    }
    return .undecided
  }

  /// The line ends here.
  var end: Verdict {
    switch place {
    case .behind, .lineComment: .isTerminator
    default: .isNone
    }
  }

  /// A statement with a comment before each line of it that would end it, so that it goes into the shell, or
  /// a script, as one. What stands in quotes ends nothing, and stays as it is.
  package static func guarded(_ sql: String) -> String {
    var guarded: [UInt8] = []
    var boundary = StatementBoundary()
    var isFirst = true
    for line in sql.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      if !isFirst {
        guarded.append(UInt8(ascii: "\n"))
        _ = boundary.consume(UInt8(ascii: "\n"))
      }
      isFirst = false
      if boundary.lexeme == .none, ends(line) { guarded += "/**/".utf8 }
      guarded += line
      for byte in line { _ = boundary.consume(byte) }
    }
    return String(decoding: guarded, as: UTF8.self)
  }

  private static func ends(_ line: some Sequence<UInt8>) -> Bool {
    var terminator = TerminatorLine()
    for byte in line where terminator.consume(byte) == .isNone { return false }
    return terminator.end == .isTerminator
  }

  /// As C has it.
  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || (0x09...0x0D).contains(byte)
  }
}
