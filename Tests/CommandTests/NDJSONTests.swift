import SluiceJournal
import SluiceShared
import Testing

@testable import sluice

@Suite("An NDJSON line is a batch")
struct NDJSONTests {
  private func read(_ text: String) throws -> [InputBatch] {
    try batches(NDJSONReader(try input(text)))
  }

  private func parameter(_ json: String) throws -> SQLValue {
    let batches = try read("{\"statements\": [[\"SELECT ?\", [\(json)]]]}")
    return try #require(batches.first?.batch.statements.first?.rows.first?.first)
  }

  @Test("The example of the documentation")
  func example() throws {
    let line = """
      {"id": "key", "statements": [["INSERT INTO t VALUES (?,?)", [1, "a"]], \
      ["UPDATE t SET n = n + 1"], {"sql": "INSERT INTO t VALUES (?,?)", "rows": [[1,"a"],[2,"b"]]}], \
      "guards": [["SELECT count(*) = 0 FROM t WHERE id = ?", [1]]], "results": true}
      """
    let expected = Batch(
      [
        Batch.Statement("INSERT INTO t VALUES (?,?)", [1, "a"]),
        Batch.Statement("UPDATE t SET n = n + 1"),
        Batch.Statement("INSERT INTO t VALUES (?,?)", rows: [[1, "a"], [2, "b"]]),
      ], key: "key",
      guards: [Batch.Statement("SELECT count(*) = 0 FROM t WHERE id = ?", [1])], wantsResults: true)
    #expect(try read(line) == [InputBatch(batch: expected, input: "input", line: 1)])
  }

  @Test("Blank lines count but say nothing")
  func blankLines() throws {
    let line = #"{"statements": [["SELECT 1"]]}"#
    let lines = try read("\u{FEFF}\(line)\r\n\n \t\r\n\(line)\n\n")
    #expect(lines.map(\.line) == [1, 4])
    #expect(try read("\n \n").isEmpty)
    #expect(try read("").isEmpty)
  }

  @Test(
    "Values keep their type",
    arguments: [
      ("null", .null), ("true", 1), ("false", 0), ("1", 1), ("-0", 0), ("1.0", 1.0),
      ("1e3", 1000.0),
      ("-0.5", -0.5), ("9223372036854775807", .integer(.max)),
      ("-9223372036854775808", .integer(.min)),
      ("9223372036854775808.0", 9223372036854775808.0), (#""""#, ""), (#""a\u0000b""#, "a\0b"),
      (#""\ud83d\ude00é""#, "😀é"), (#"{"base64": ""}"#, .blob([])),
      (#"{"base64": "AP8="}"#, .blob([0, 0xFF])),
    ] as [(String, SQLValue)])
  func values(json: String, expected: SQLValue) throws {
    #expect(try parameter(json) == expected)
  }

  @Test("A statement without rows is kept, and does nothing")
  func noRows() throws {
    let batch = try read(#"{"statements": [{"sql": "INSERT INTO t VALUES (1)", "rows": []}]}"#)
    #expect(
      batch.first?.batch.statements == [Batch.Statement("INSERT INTO t VALUES (1)", rows: [])])
  }

  @Test(
    "What is wrong is named with its place",
    arguments: [
      ("{", "'}' expected"),
      ("[]", "a batch is an object with \"statements\", this is an array of 0"),
      ("{} {}", "end of file expected"),
      ("{}", "\"statements\" is missing"),
      (#"{"statements": [], "statements": []}"#, "duplicate object key"),
      (
        #"{"statements": [], "key": "a", "Id": "b"}"#,
        "unknown member \"Id\", \"key\"; a batch has only \"id\", \"statements\", \"guards\", \"results\", \"unlisted\""
      ),
      (#"{"statements": {}}"#, "\"statements\" is an array of statements, this is an object"),
      (#"{"statements": [], "guards": "x"}"#, "\"guards\" is an array of statements"),
      (#"{"statements": [], "id": 7}"#, "\"id\" is a string, this is a number"),
      (#"{"statements": [], "id": null}"#, "\"id\" is a string, this is null"),
      (#"{"statements": [], "results": 1}"#, "\"results\" is true or false, this is a number"),
      (#"{"statements": [], "unlisted": "yes"}"#, "\"unlisted\" is true or false"),
      (#"{"statements": ["SELECT 1"]}"#, "statement 1: a statement is [\"SQL\"]"),
      (#"{"statements": [["SELECT 1"], []]}"#, "statement 2: a statement is [\"SQL\"]"),
      (#"{"statements": [["SELECT 1", [], 1]]}"#, "this is an array of 3"),
      (#"{"statements": [[1]]}"#, "statement 1: the SQL text is a string, this is a number"),
      (#"{"statements": [["SELECT 1\u0000"]]}"#, "statement 1: the SQL text has a NUL character"),
      (#"{"statements": [["SELECT ?", 1]]}"#, "statement 1: parameters are an array"),
      (#"{"statements": [["SELECT ?", {"base64": ""}]]}"#, "statement 1: parameters are an array"),
      (#"{"statements": [{"rows": []}]}"#, "statement 1: \"sql\" is missing"),
      (#"{"statements": [{"sql": "SELECT 1"}]}"#, "statement 1: \"rows\" is missing"),
      (
        #"{"statements": [{"sql": "SELECT 1", "rows": [], "row": []}]}"#,
        "statement 1: unknown member \"row\"; a statement has only \"sql\", \"rows\""
      ),
      (#"{"statements": [{"sql": "S", "rows": [[1], 2]}]}"#, "statement 1: row 2: parameters are"),
      (
        #"{"statements": [{"sql": "S", "rows": [[1], [[]]]}]}"#,
        "statement 1: row 2: parameter 1: an array is no SQL value"
      ),
      (
        #"{"statements": [], "guards": [["S", [1, {"a": 1}]]]}"#,
        "guard 1: parameter 2: the only object"
      ),
      (#"{"statements": [["S", [{"base64": 1}]]]}"#, "statement 1: parameter 1: the only object"),
      (#"{"statements": [["S", [{"base64": "AA=", "x": 1}]]]}"#, "parameter 1: the only object"),
      (
        #"{"statements": [["S", [{"base64": "AA="}]]]}"#,
        "parameter 1: base64 comes in groups of four"
      ),
      (#"{"statements": [["S", [9223372036854775808]]]}"#, "too big integer"),
      (#"{"statements": [["S", [1e999]]]}"#, "real number overflow"),
      (#"{"statements": [["S", [NaN]]]}"#, "invalid token"),
      (#"{"statements": [["S", ["\ud83d"]]]}"#, "Unicode"),
    ])
  func errors(line: String, expected: String) {
    let good = #"{"statements": [["SELECT 1"]]}"#
    let error = storeError { _ = try read("\(good)\n\n\(line)\n\(good)\n") }
    #expect(error?.code == .invalid)
    #expect(error?.message.hasPrefix("input, line 3: ") == true)
    #expect(error?.message.contains(expected) == true, "\(error?.message ?? "none")")
  }

  @Test("Bytes that are not UTF-8 are refused")
  func notUnicode() {
    let line = Array(#"{"statements": [["SELECT '"#.utf8) + [0xFF] + Array("']]}".utf8)
    let error = storeError { _ = try batches(NDJSONReader(try input(line))) }
    #expect(error?.message.hasPrefix("input, line 1: ") == true)
  }

  @Test("The batches before an error are returned")
  func batchesBeforeError() throws {
    var reader = NDJSONReader(try input("{\"statements\": []}\n{\n"))
    #expect(try reader.next()?.line == 1)
    #expect(throws: StoreError.self) { try reader.next() }
  }

  @Test("A limit that the encoding finds is told with its place")
  func located() throws {
    let batch = try #require(
      try read("\n" + #"{"statements": [{"sql": "S", "rows": [[1], [1, 2]]}]}"#).first)
    let error = storeError {
      do throws(StoreError) { _ = try batch.batch.encoded() } catch { throw batch.located(error) }
    }
    #expect(error?.message.hasPrefix("input, line 2: statement 1: row 2 has 2 parameters") == true)
  }
}
