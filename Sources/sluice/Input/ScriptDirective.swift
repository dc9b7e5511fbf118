/// What a statement of a script means for the batches made of it.
///
/// Scripts are written for the sqlite3 shell, which keeps a connection from statement to statement.
/// A batch has none: it is a transaction by itself, and the applier denies what would outlive it.
enum ScriptDirective: Equatable {
  /// A statement of the batch.
  case execute
  case begin
  case commit
  case foreignKeys(on: Bool)
  /// Says how a connection works, not what it does.
  case ignore
  /// Cannot be done here; the sentence says what to do instead.
  case refuse(String)

  /// Looks at no more of `statement` than its first tokens.
  init(_ statement: String) {
    var tokens = LeadingTokens(statement)
    switch tokens.keyword() {
    case "begin": self = .begin
    case "commit", "end": self = .commit
    case "pragma": self = ScriptDirective.pragma(&tokens)
    case "rollback":
      self = .refuse(
        "ROLLBACK: a script is done as a whole; take out what it undoes (sqlite3 ends a dump with it "
          + "after an error: dump again)")
    case "savepoint", "release":
      self = .refuse("a batch is all or nothing by itself; take out SAVEPOINT and RELEASE")
    case "attach", "detach":
      self = .refuse("a store is one database; take out ATTACH and DETACH")
    case "vacuum": self = .refuse("take out VACUUM: a batch cannot run it")
    case "analyze" where ["sqlite_schema", "sqlite_master"].contains(tokens.next()):
      self = .refuse(
        "this is a dump with query-planner statistics, which are not written by hand; dump with "
          + "`.dump --nosys`, or make the store with `sluice init --from`")
    case ".":
      let command = statement.prefix { !$0.isWhitespace }
      self = .refuse("\(command) is a command of the sqlite3 shell and no SQL; take it out")
    default: self = .execute
    }
  }

  /// After the word PRAGMA: `[schema.]name`, then nothing, `= value` or `(value)`.
  private static func pragma(_ tokens: inout LeadingTokens) -> ScriptDirective {
    var name = tokens.next()
    var sign = tokens.next()
    if sign == "." {
      name = tokens.next()
      sign = tokens.next()
    }
    switch name {
    case "foreign_keys":
      guard sign != nil, let value = tokens.next() else { return .ignore }
      return .foreignKeys(on: !["off", "no", "false", "0"].contains(value))
    case "writable_schema":
      return .refuse(
        "this writes sqlite_schema directly, as a dump of a database with FTS or R-tree tables does; "
          + "make the store from the database itself with `sluice init --from`")
    case let name? where connectionPragmas.contains(name): return .ignore
    // What is left reads, writes the database's header, or changes what statements do: the applier
    // knows which of them it allows.
    default: return .execute
    }
  }

  /// Speed, caches, locks and file layout, as dumps and exports of common tools set them.
  private static let connectionPragmas: Set<String> = [
    "analysis_limit", "auto_vacuum", "automatic_index", "busy_timeout", "cache_size", "cache_spill",
    "cell_size_check", "checkpoint_fullfsync", "count_changes", "encoding", "fullfsync",
    "hard_heap_limit", "journal_mode", "journal_size_limit", "locking_mode", "mmap_size",
    "optimize", "page_size", "secure_delete", "shrink_memory", "soft_heap_limit", "synchronous",
    "temp_store", "threads", "wal_autocheckpoint", "wal_checkpoint",
  ]
}

/// The first tokens of a statement, in lower case, names without their quotes, comments left out.
private struct LeadingTokens {
  private var rest: Substring.UTF8View

  init(_ statement: String) { rest = statement[...].utf8 }

  /// The next token where it may be a keyword: a name in quotes is none.
  mutating func keyword() -> String? {
    skipBlank()
    guard let first = rest.first, LeadingTokens.closingQuote(first) == nil else { return nil }
    return next()
  }

  mutating func next() -> String? {
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

  private static func isWord(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...:
      true
    default: false
    }
  }
}
