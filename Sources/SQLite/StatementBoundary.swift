/// Finds the semicolons that end statements, byte by byte: `sqlite3_complete` taken apart so that
/// it can go on where the last chunk ended, in linear time. Same tokens, same transitions.
struct StatementBoundary {
  /// How far the tokenizer is in a token that takes more than one byte.
  enum Lexeme: Equatable {
    case none, word, dash, slash, lineComment, blockComment, blockCommentStar
    /// In a string or quoted identifier that ends with this byte.
    case quoted(UInt8)
  }

  /// How far the statement is; CREATE TRIGGER ends only at `; END ;`.
  enum State {
    case start, normal, explain, create, trigger, triggerSemicolon, triggerEnd
  }

  fileprivate enum Token { case semicolon, other, explain, create, temp, trigger, end }

  private(set) var lexeme = Lexeme.none
  private(set) var state = State.start
  private var word = Word()

  /// Nothing but white space and comments since the last statement ended.
  var isBlank: Bool { state == .start && (lexeme == .none || isComment) }
  var isComment: Bool {
    lexeme == .lineComment || lexeme == .blockComment || lexeme == .blockCommentStar
  }

  /// Whether a semicolon would end the statement here.
  var endsAtSemicolon: Bool {
    switch lexeme {
    case .quoted, .lineComment, .blockComment, .blockCommentStar: false
    case .none, .word, .dash, .slash: state != .trigger && state != .triggerSemicolon
    }
  }

  /// Takes the next byte; true when it is the semicolon that ends a statement.
  mutating func consume(_ byte: UInt8) -> Bool {
    switch lexeme {
    case .none: break
    case .word:
      if word.append(byte) { return false }
      endToken()
    case .quoted(let close):
      if byte == close { endToken() }
      return false
    case .lineComment:
      if byte == UInt8(ascii: "\n") { lexeme = .none }
      return false
    case .blockComment:
      if byte == UInt8(ascii: "*") { lexeme = .blockCommentStar }
      return false
    case .blockCommentStar:
      lexeme =
        byte == UInt8(ascii: "/") ? .none : byte == UInt8(ascii: "*") ? lexeme : .blockComment
      return false
    case .dash:
      if byte == UInt8(ascii: "-") {
        lexeme = .lineComment
        return false
      }
      endToken()
    case .slash:
      if byte == UInt8(ascii: "*") {
        lexeme = .blockComment
        return false
      }
      endToken()
    }
    return begin(byte)
  }

  /// A byte that begins a token, or is white space.
  private mutating func begin(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: ";"):
      let hadStatement = state != .start
      advance(.semicolon)
      return hadStatement && state == .start
    case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"), 0x0C: break
    case UInt8(ascii: "-"): lexeme = .dash
    case UInt8(ascii: "/"): lexeme = .slash
    case UInt8(ascii: "["): lexeme = .quoted(UInt8(ascii: "]"))
    case UInt8(ascii: "'"), UInt8(ascii: "\""), UInt8(ascii: "`"): lexeme = .quoted(byte)
    default:
      word = Word()
      if word.append(byte) { lexeme = .word } else { advance(.other) }
    }
    return false
  }

  private mutating func endToken() {
    // In a normal statement all words are alike, and most words are in one.
    advance(lexeme == .word && state != .normal ? word.token : .other)
    lexeme = .none
  }

  private mutating func advance(_ token: Token) {
    state =
      switch (state, token) {
      case (.trigger, .semicolon), (.triggerSemicolon, .semicolon): .triggerSemicolon
      case (_, .semicolon): .start
      case (.triggerSemicolon, .end): .triggerEnd
      case (.trigger, _), (.triggerSemicolon, _), (.triggerEnd, _): .trigger
      case (.create, .trigger): .trigger
      case (.create, .temp): .create
      case (.start, .create), (.explain, .create): .create
      case (.start, .explain), (.explain, .other): .explain
      default: .normal
      }
  }
}

/// A word being read, in lower case; only the last 16 bytes, more than any keyword here has.
private struct Word: Equatable {
  private var letters: UInt128 = 0
  private var count = 0

  init() {}

  private init(_ keyword: StaticString) {
    keyword.withUTF8Buffer { for byte in $0 { _ = append(byte) } }
  }

  /// False for a byte that cannot be part of a word.
  mutating func append(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "_"), UInt8(ascii: "$"), 0x80...:
      letters = letters << 8 | UInt128(byte)
    case UInt8(ascii: "A")...UInt8(ascii: "Z"):
      letters = letters << 8 | UInt128(byte | 0x20)
    default: return false
    }
    count += 1
    return true
  }

  fileprivate var token: StatementBoundary.Token {
    switch self {
    case Word("create"): .create
    case Word("temp"), Word("temporary"): .temp
    case Word("trigger"): .trigger
    case Word("end"): .end
    case Word("explain"): .explain
    default: .other
    }
  }
}
