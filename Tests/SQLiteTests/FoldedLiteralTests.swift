import Testing

@testable import SluiceSQLite

@Suite("What is taken out of a long literal is what it means, wherever the script was cut")
struct FoldedLiteralTests {
  private func split(_ script: String, chunk: Int, above threshold: Int?) throws
    -> [ScriptStatement]
  {
    var splitter = ScriptSplitter(foldingLiteralsAbove: threshold)
    var statements: [ScriptStatement] = []
    let bytes = Array(script.utf8)
    for start in stride(from: 0, to: bytes.count, by: chunk) {
      bytes[start..<min(start + chunk, bytes.count)].withUnsafeBytes { splitter.append($0) }
      while let statement = try splitter.next() { statements.append(statement) }
    }
    splitter.finish()
    while let statement = try splitter.next() { statements.append(statement) }
    return statements
  }

  /// The text with what was folded put back, written as SQL.
  private func unfolded(_ statement: ScriptStatement) -> String {
    var text = Array(statement.text.utf8)
    for literal in statement.folded.reversed() {
      #expect(text[literal.quote] == UInt8(ascii: "'"))
      let digits = Array("0123456789ABCDEF".utf8)
      let written = literal.pieces.joined().flatMap { byte -> [UInt8] in
        if literal.isBlob { return [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
        return byte == UInt8(ascii: "'") ? [byte, byte] : [byte]
      }
      text.insert(contentsOf: written, at: literal.quote + 1)
    }
    return String(decoding: text, as: UTF8.self)
  }

  private static let scripts = [
    "INSERT INTO t VALUES ('0123456789', x'00112233445566778899AABBCCDDEEFF', 'short');\nS;",
    "INSERT INTO t VALUES ('it''s ''''quoted'''' and ''''''''doubled''''''''''''', '''''''''''');",
    "INSERT INTO t VALUES ('Zürich, 東京, 🧀🧀🧀🧀', 'é''é''é''é''é''é''');",
    "S '''''''' || 'a''b' || \"it's a 'long' name''\" || [x'00'] || `'` /* ' */ -- '\n || 'abcdefgh';",
    "S X'0011223344556677', ax'0011223344556677', 'x''0011223344556677';T 'abcdefghi'",
    // No blobs: they stay as they are.
    "S x'00112233445566zz', x'001122334455667';",
  ]

  @Test(arguments: scripts)
  func everyCut(script: String) throws {
    let whole = try ScriptSplitter.split(script)
    var folds = 0
    for threshold in [0, 1, 4, 9] {
      for chunk in 1...12 {
        let statements = try split(script, chunk: chunk, above: threshold)
        #expect(statements.map(\.line) == whole.map(\.line))
        #expect(
          statements.map(unfolded) == whole.map(\.text), "in chunks of \(chunk), above \(threshold)"
        )
        folds += statements.reduce(0) { $0 + $1.folded.count }
      }
    }
    #expect(folds > 0)
    #expect(try split(script, chunk: 1, above: nil).allSatisfy(\.folded.isEmpty))
  }

  /// A text that is no UTF-8 is told as such, and a NUL stays where it ends the statement for SQLite.
  @Test func whatIsNoText() throws {
    // Also where all of it are continuations of nothing.
    for content in [[0xFF, 0x41, 0x41, 0x41, 0x41], [0xAB, 0xAB, 0xAB, 0xAB]] as [[UInt8]] {
      var splitter = ScriptSplitter(foldingLiteralsAbove: 2)
      for byte in Array("S '".utf8) + content + Array("';".utf8) {
        withUnsafeBytes(of: byte) { splitter.append($0) }
        if byte != UInt8(ascii: ";") { #expect(try splitter.next() == nil) }
      }
      #expect(throws: SQLiteError.self) { _ = try splitter.next() }
    }
    let statements = try split("S 'a\0bcdefgh';", chunk: 1, above: 2)
    #expect(statements[0].text.utf8.contains(0))
  }
}
