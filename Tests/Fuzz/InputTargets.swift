import CSQLite
import Glibc
import SluiceJournal
import SluiceSQLite
import SluiceShared

@testable import sluice

extension FuzzTarget {
  /// What `submit --ndjson` reads.
  static let ndjson = FuzzTarget(
    name: "ndjson", mostBytes: 1024,
    seeds: { _ in
      [
        #"{"id":"k","statements":[["INSERT INTO t VALUES (?,?)",[1,"a"]],["UPDATE t SET n=n+1"]]}"#,
        #"{"statements":[{"sql":"INSERT INTO t VALUES (?)","rows":[[1.0],[null],[-9e300],[true]]}]}"#,
        #"{"statements":[["SELECT ?",[{"base64":"AAEC/w=="}]]],"guards":[["SELECT 1",[]]],"results":true}"#
          + "\n\n\r\n" + #"{"statements":[]}"#,
        "\u{FEFF}" + #"{"statements":[["x\u0000\ud83d\ude00\\\"",["\u0000é"]]],"results":false}"#,
      ].map { Array($0.utf8) }
    },
    run: { input in
      guard let file = InputFile.holding(input) else { return }
      var reader = NDJSONReader(file)
      refusable {
        while let found = try reader.next() {
          demand(found.line >= 1, "a batch stands on no line")
          // Over a limit it is refused when it is encoded, and says so.
          guard let bytes = try? found.batch.encoded() else { continue }
          let decoded = must("decoding what was encoded") {
            try bytes.withUnsafeBytes { try Batch(decoding: $0) }
          }
          demand(decoded == found.batch, "a batch from JSON is decoded as another")
          let line = found.batch.json
          let again = must("reading a batch's own JSON") { try Batch(json: JSON.parse(line)) }
          demand(again == found.batch, "a batch is read as another from its own JSON")
        }
      }
    })

  /// What `submit --sql` reads.
  static let sqlScript = FuzzTarget(
    name: "sql-script", mostBytes: 1024,
    seeds: { _ in
      [
        "BEGIN TRANSACTION;\nCREATE TABLE t(a, b);\nINSERT INTO t VALUES(1,'x;y');\nCOMMIT;\n",
        "PRAGMA foreign_keys=OFF;-- c\n/* d */ insert into \"a;b\" values ([c], `d`, x'00');",
        "create trigger r after insert on t begin update t set a=1; select 1; end; select 2",
        "explain create temp trigger r begin select 1; end; analyze sqlite_schema; .tables",
        "\u{FEFF}SAVEPOINT x; PRAGMA main . user_version = 7; pragma writable_schema(on)",
      ].map { Array($0.utf8) }
    },
    run: { input in
      for split in [nil, 1, 3] {
        refusable {
          guard let file = InputFile.holding(input) else { return }
          var reader = try SQLScriptReader(file, key: "k", statementsPerBatch: split)
          while let found = try reader.next() {
            demand(!found.batch.statements.isEmpty, "a batch without statements")
            _ = try? found.batch.encoded()
          }
        }
      }
      attackSplitter(input)
    })

  /// Statements do not depend on how the script is cut into chunks, and are what SQLite's own
  /// `sqlite3_complete` takes for whole.
  private static func attackSplitter(_ input: UnsafeRawBufferPointer) {
    let whole = split(input, by: max(1, input.count))
    demand(split(input, by: 1) == whole, "a script read byte by byte has other statements")
    demand(split(input, by: 7) == whole, "a script read in pieces has other statements")
    let folded = split(input, by: 3, folding: 2)
    demand(
      folded.failed == whole.failed
        && folded.statements.map(\.line) == whole.statements.map(\.line),
      "a script whose literals are folded has other statements")
    for (i, statement) in whole.statements.enumerated() {
      let text = statement.text
      demand(!text.isEmpty, "an empty statement")
      // The last one ends where the script does, complete or not.
      guard !text.utf8.contains(0), i < whole.statements.count - 1 else { continue }
      demand(sqlite3_complete(text + "\n;") != 0, "SQLite finds a statement incomplete: \(text)")
    }
  }

  private struct Split: Equatable {
    var statements: [ScriptStatement] = []
    var failed = false
  }

  private static func split(
    _ input: UnsafeRawBufferPointer, by size: Int, folding threshold: Int? = nil
  ) -> Split {
    var splitter = ScriptSplitter(foldingLiteralsAbove: threshold)
    var result = Split()
    do {
      for start in stride(from: 0, to: input.count, by: size) {
        splitter.append(
          UnsafeRawBufferPointer(rebasing: input[start..<min(start + size, input.count)]))
        while let statement = try splitter.next() { result.statements.append(statement) }
      }
      splitter.finish()
      while let statement = try splitter.next() { result.statements.append(statement) }
    } catch {
      result.failed = true
    }
    return result
  }
}

extension InputFile {
  /// An input file with this content; one descriptor in memory serves all.
  static func holding(_ bytes: UnsafeRawBufferPointer) -> InputFile? {
    guard ftruncate(inputDescriptor, 0) == 0,
      pwrite(inputDescriptor, bytes.baseAddress, bytes.count, 0) == bytes.count || bytes.isEmpty,
      lseek(inputDescriptor, 0, SEEK_SET) == 0
    else { return nil }
    return InputFile(descriptor: dup(inputDescriptor), name: "input")
  }
}

/// A temporary file without a name.
private let inputDescriptor: Int32 = {
  var name = Array("/tmp/sluice-fuzz-XXXXXX".utf8CString)
  return name.withUnsafeMutableBufferPointer { name -> Int32 in
    guard let path = name.baseAddress else { return -1 }
    let descriptor = mkstemp(path)
    unlink(path)
    return descriptor
  }
}()

extension Batch {
  /// The line of NDJSON that says this.
  fileprivate var json: String {
    var line = "{"
    if let key {
      line += "\"id\": "
      JSON.append(quoting: key, to: &line)
      line += ", "
    }
    line += "\"statements\": [" + statements.map(\.json).joined(separator: ", ") + "]"
    line += ", \"guards\": [" + guards.map(\.json).joined(separator: ", ") + "]"
    return line + ", \"results\": \(wantsResults)}"
  }
}

extension Batch.Statement {
  fileprivate var json: String {
    var line = "{\"sql\": "
    JSON.append(quoting: sql, to: &line)
    let rows = rows.map { "[" + $0.map(\.json).joined(separator: ", ") + "]" }
    return line + ", \"rows\": [" + rows.joined(separator: ", ") + "]}"
  }
}

extension SQLValue {
  fileprivate var json: String {
    switch self {
    case .null: return "null"
    case .integer(let number): return "\(number)"
    case .real(let number): return "\(number)"
    case .text(let text):
      var line = ""
      JSON.append(quoting: text, to: &line)
      return line
    case .blob(let bytes): return "{\"base64\": \"\(Base64.encode(bytes))\"}"
    }
  }
}
