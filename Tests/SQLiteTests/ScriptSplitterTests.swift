import CSQLite
import Testing

@testable import SluiceSQLite

@Suite struct ScriptSplitterTests {
  /// What `script` is split into, as "line: text", fed in chunks of `size` bytes.
  private func split(_ script: String, chunks size: Int = .max) throws -> [String] {
    var splitter = ScriptSplitter()
    var statements: [String] = []
    func take() throws {
      while let next = try splitter.next() { statements.append("\(next.line): \(next.text)") }
    }
    var rest = Array(script.utf8)[...]
    while !rest.isEmpty {
      let chunk = rest.prefix(size)
      rest = rest.dropFirst(chunk.count)
      chunk.withUnsafeBytes { splitter.append($0) }
      try take()
    }
    splitter.finish()
    try take()
    #expect(try splitter.next() == nil)
    return statements
  }

  static let cases: [(script: String, statements: [String])] = [
    ("", []),
    (" ;;\n; -- nothing\n/* at; all */", []),
    ("SELECT 1", ["1: SELECT 1"]),
    ("SELECT 1;SELECT 2;", ["1: SELECT 1", "1: SELECT 2"]),
    ("\n-- a; comment\n\n  SELECT 1 ;\n;SELECT\n2 \n", ["4: SELECT 1", "5: SELECT\n2"]),
    (
      "SELECT ';', \"a;b\", `c;d`, [e;f], 'it''s;';",
      ["1: SELECT ';', \"a;b\", `c;d`, [e;f], 'it''s;'"]
    ),
    ("SELECT 1 -- a;\n + 2; /* b; **/ - 3 / 4;", ["1: SELECT 1 -- a;\n + 2", "2: - 3 / 4"]),
    ("SELECT 'two\nlines'; SELECT 3", ["1: SELECT 'two\nlines'", "2: SELECT 3"]),
    (
      "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN\n  SELECT CASE 1 WHEN 1 THEN 2 END;\nEND;\nx",
      [
        "1: CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN\n  SELECT CASE 1 WHEN 1 THEN 2 END;\nEND",
        "4: x",
      ]
    ),
    ("\u{FEFF}create trigger x begin; end;", ["1: create trigger x begin; end"]),
    ("BEGIN; not SQL (; END;", ["1: BEGIN", "1: not SQL (", "1: END"]),
    ("SELECT 1\ngo\nSELECT 2\n / \nx\r\nGo\r\ny", ["1: SELECT 1", "3: SELECT 2", "5: x", "7: y"]),
    ("go\n/\nx\nGO--y;\ny\n// * */ -- z\nz\n/", ["3: x", "5: y\n// * */ -- z\nz"]),
    ("x\ngo /* a */ -- b\ny\n//* a **/\nz\ngo", ["1: x", "3: y", "5: z"]),
    ("x\ngone\n/ 2\ngo;\n/;", ["1: x\ngone\n/ 2\ngo", "5: /"]),
    ("'x\ngo\n' [\n/\n] /*\ngo\n*/ -- y\ngo\n/", ["1: 'x\ngo\n' [\n/\n] /*\ngo\n*/ -- y\ngo"]),
    (
      "create trigger x begin\ngo\n/\n;\nend\ngo\ny\n/* open\n*/ go\n/* a */ /",
      [
        "1: create trigger x begin\ngo\n/\n;\nend", "7: y\n/* open\n*/ go\n/* a */ /",
      ]
    ),
  ]

  @Test(arguments: cases.indices) func splits(_ index: Int) throws {
    let (script, statements) = ScriptSplitterTests.cases[index]
    for size in [1, 2, 3, 7, .max] {
      #expect(try split(script, chunks: size) == statements)
    }
  }

  /// After each of these beginnings, every sequence of up to four tokens.
  @Test(arguments: [";", "create trigger x begin;", "x; create trigger x begin; /*"])
  func agreesWithSQLite(_ beginning: String) {
    let tokens = [
      ";", " ", "CREATE ", "temporary\t", "trigger ", "END", "explain ", "x", "-", "/*", "*/",
      "--", "\n", "'", "[",
    ]
    var disagreements: [String] = []
    func extend(_ script: String, _ boundary: StatementBoundary, by count: Int) {
      if boundary.isComplete != (sqlite3_complete(script) != 0) { disagreements.append(script) }
      guard count > 0 else { return }
      for token in tokens {
        extend(script + token, boundary.after(token), by: count - 1)
      }
    }
    extend(beginning, StatementBoundary().after(beginning), by: 4)
    #expect(disagreements == [])
  }

  @Test(arguments: [
    ("SELECT 1;\n/* never\nended SELECT 2;", "comment"),
    ("x;\nSELECT 'a;", "string or quoted name"),
    ("x;\n[a;", "string or quoted name"),
  ])
  func refusesAnUnfinishedEnd(_ script: String, _ what: String) {
    let error = failure { _ = try ScriptSplitter.split(script) }
    #expect(error?.message == "the script ends within the \(what) that begins on line 2")
  }

  @Test func refusesBytesThatAreNoUTF8AndGoesOn() throws {
    var splitter = ScriptSplitter()
    ([0x0A, 0xFF, 0x3B, 0x78, 0x3B] as [UInt8]).withUnsafeBytes { splitter.append($0) }
    #expect(
      failure { _ = try splitter.next() }?.message
        == "the statement that begins on line 2 is not UTF-8")
    #expect(try splitter.next() == ScriptStatement(text: "x", line: 2))
  }

  /// Quadratic work would take hours here.
  @Test(
    .timeLimit(.minutes(10)),
    arguments: [
      ("INSERT INTO t VALUES ('", "a;b''c", "');"),
      ("CREATE TRIGGER x BEGIN ", "SELECT 1; ", "END;"),
      ("/*", ";*", "*/ SELECT 1"),
      ("SELECT 1\n/ ", "/* a */ ", "2"),
      ("SELECT 1\n/ ", "/* a */ ", "\n"),
      ("SELECT 1\n//* a", " a", "\n*/;"),
    ])
  func takesLinearTime(_ begin: String, _ middle: String, _ end: String) throws {
    let script = begin + String(repeating: middle, count: 400_000) + end
    #expect(try split(script, chunks: 4096).count == 1)
  }
}

extension StatementBoundary {
  /// What `sqlite3_complete` answers for the bytes so far.
  fileprivate var isComplete: Bool {
    state == .start && (lexeme == .none || lexeme == .lineComment)
  }

  fileprivate func after(_ script: String) -> StatementBoundary {
    var boundary = self
    for byte in script.utf8 { _ = boundary.consume(byte) }
    return boundary
  }
}
