import Glibc
import SluiceJournal
import SluiceShared
import Testing

@testable import sluice

/// What `body` writes.
private func output(_ body: (inout OutputFile) throws -> Void) throws -> String {
  let descriptor = try temporaryDescriptor()
  defer { close(descriptor) }
  var file = OutputFile(descriptor: descriptor)
  try body(&file)
  try file.flush()
  try #require(lseek(descriptor, 0, SEEK_SET) == 0)
  let input = InputFile(descriptor: dup(descriptor), name: "output")
  var bytes: [UInt8] = []
  while case let chunk = try input.readChunk(), !chunk.isEmpty { bytes += chunk }
  return String(decoding: bytes, as: UTF8.self)
}

private func printed<Format: RowFormat>(
  _ format: Format.Type, _ columns: [String], _ rows: [[SQLValue]]
) throws -> String {
  try output { file in
    var format = Format(columns: columns)
    try format.begin(&file)
    for row in rows { try format.write(row, to: &file) }
    try format.end(&file)
  }
}

@Suite("Rows as JSON lines")
struct JSONLinesTests {
  @Test(
    "Values keep their type",
    arguments: [
      (.null, "null"), (0, "0"), (.integer(.max), "9223372036854775807"),
      (.integer(.min), "-9223372036854775808"), (1.0, "1.0"), (-0.0, "-0.0"), (1e300, "1e+300"),
      (1e16, "1e+16"), (.real(.leastNonzeroMagnitude), "5e-324"), (0.1, "0.1"),
      (.real(.infinity), "null"),
      (.real(-.infinity), "null"), ("", "\"\""), ("a\"\\\n\0é😀", #""a\"\\\n\u0000é😀""#),
      (.blob([]), #"{"base64": ""}"#), (.blob([0, 0xFF]), #"{"base64": "AP8="}"#),
    ] as [(SQLValue, String)])
  func values(value: SQLValue, expected: String) throws {
    #expect(try printed(JSONLinesFormat.self, ["a"], [[value]]) == "{\"a\": \(expected)}\n")
  }

  @Test("What is written can be submitted again")
  func roundTrip() throws {
    let row: [SQLValue] = [
      .null, .integer(.min), 1.0, 1e16, .real(.leastNonzeroMagnitude),
      .real(.greatestFiniteMagnitude), "a\0\u{1F}\"b",
      .blob([1, 2, 3]),
    ]
    var line = #"{"statements": [{"sql": "S", "rows": "#
    JSON.append([row, row], to: &line)
    let batch = try batches(NDJSONReader(try input(line + "}]}"))).first
    #expect(batch?.batch.statements.first?.rows == [row, row])
  }

  @Test(
    "Repeated names are told apart",
    arguments: [
      (["a", "b"], #"{"a": 1, "b": 1}"#), (["a", "a", "a"], #"{"a": 1, "a:1": 1, "a:2": 1}"#),
      (["a", "a", "a:1"], #"{"a": 1, "a:2": 1, "a:1": 1}"#),
      (["\"", "\""], #"{"\"": 1, "\":1": 1}"#),
      ([], "{}"),
    ])
  func names(columns: [String], expected: String) throws {
    #expect(try printed(JSONLinesFormat.self, columns, [columns.map { _ in 1 }]) == expected + "\n")
  }

  @Test("No rows, no lines")
  func noRows() throws {
    #expect(try printed(JSONLinesFormat.self, ["a"], []) == "")
  }
}

@Suite("Rows as CSV")
struct CSVTests {
  @Test("The header is there without rows too")
  func header() throws {
    #expect(try printed(CSVFormat.self, ["a", "b,c"], []) == "a,\"b,c\"\r\n")
  }

  @Test(
    "Fields are quoted where they must be",
    arguments: [
      (.null, ""), ("", "\"\""), ("a b", "a b"), ("a,b", "\"a,b\""), ("\"", "\"\"\"\""),
      ("a\"\"b", "\"a\"\"\"\"b\""), ("a\r\nb", "\"a\r\nb\""), ("\n", "\"\n\""), (1, "1"),
      (1.0, "1.0"),
      (.blob([0, 0xAB]), "x'00ab'"), (.real(-.infinity), "-Inf"), ("é", "é"),
    ] as [(SQLValue, String)])
  func fields(value: SQLValue, expected: String) throws {
    #expect(try printed(CSVFormat.self, ["a", "b"], [[value, 7]]) == "a,b\r\n\(expected),7\r\n")
  }
}

@Suite("Rows as a table")
struct TableTests {
  @Test("Numbers stand right, everything else left")
  func alignment() throws {
    let table = try printed(
      TableFormat.self, ["id", "name", "price", "b"],
      [
        [1, "apple", 1.5, .blob([0xAB])], [100, .null, .null, .null],
        [.null, "é", -10.0, .blob([])],
      ])
    #expect(
      table == """
         id  name   price  b
        ---  -----  -----  -----
          1  apple    1.5  x'ab'
        100
             é      -10.0  x''

        """)
  }

  @Test("A row is one line and commands no terminal")
  func controlCharacters() throws {
    let table = try printed(TableFormat.self, ["a\nb"], [["x\u{1B}[2J\n\u{9B}\0é"]])
    let lines = table.split(separator: "\n")
    #expect(lines.count == 3)
    #expect(lines.first == "a\\nb")
    #expect(lines.last == "x\\u{1B}[2J\\n\\u{009B}\\0é")
  }

  @Test("Without rows the header is there, without columns nothing")
  func empty() throws {
    #expect(try printed(TableFormat.self, ["ab"], []) == "ab\n--\n")
    #expect(try printed(TableFormat.self, [], []) == "")
  }

  @Test("The first rows set the widths, later ones stream")
  func streaming() throws {
    let rows = (0...TableFormat.measuredRows).map { i -> [SQLValue] in
      [.text(i < TableFormat.measuredRows ? "a" : "longer"), "b"]
    }
    let lines = try printed(TableFormat.self, ["x", "y"], rows).split(separator: "\n")
    #expect(lines.count == rows.count + 2)
    #expect(lines[2] == "a  b")
    #expect(lines.last == "longer  b")
  }

  @Test("One long text does not widen all rows")
  func longText() throws {
    let long = String(repeating: "x", count: 200)
    let lines = try printed(TableFormat.self, ["x", "y"], [[.text(long), 1], ["a", 2]])
      .split(separator: "\n")
    #expect(lines.map(\.count) == [63, 63, 203, 63])
  }
}

@Suite("Output to where it cannot go")
struct OutputFileTests {
  @Test("A reader that has gone is no error")
  func closedPipe() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    defer { close(ends[1]) }
    signal(SIGPIPE, SIG_IGN)
    close(ends[0])
    var file = OutputFile(descriptor: ends[1])
    try file.write("a")
    let hadReader = file.hasReader
    try file.flush()
    let hasReader = file.hasReader
    #expect(hadReader && !hasReader)
    try file.write(String(repeating: "b", count: 1 << 20))
    try file.flush()
  }

  @Test("A full disk is")
  func fullDevice() throws {
    let descriptor = open("/dev/full", O_WRONLY)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    let error = storeError {
      var file = OutputFile(descriptor: descriptor)
      try file.write("a")
      try file.flush()
    }
    #expect(error?.code == .io)
    #expect(error?.errno == ENOSPC)
  }

  @Test("More than the buffer arrives whole and in order")
  func large() throws {
    let pieces = (0..<50_000).map { "\($0)," }
    let text = try output { file in for piece in pieces { try file.write(piece) } }
    #expect(text == pieces.joined())
  }
}
