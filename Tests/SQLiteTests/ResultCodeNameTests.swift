import Foundation
import SluiceSQLite
import Testing

@Suite struct ResultCodeNameTests {
  /// Every result code that the header defines, read from it.
  @Test func everyCodeInTheHeaderHasItsName() throws {
    let header = try String(contentsOfFile: "/usr/include/sqlite3.h", encoding: .utf8)
    let primary = /#define (SQLITE_[A-Z]+) +(\d+) +\/\*/
    let extended = /#define (SQLITE_[A-Z_]+) +\((SQLITE_[A-Z]+) *\| *\((\d+)<<8\)\)/
    let section = try #require(header.firstRange(of: "#define SQLITE_OK "))
    let end = try #require(header.firstRange(of: "SQLITE_OPEN_READONLY"))
    let text = header[section.lowerBound..<end.lowerBound]
    var codes: [String: Int32] = [:]
    for match in text.matches(of: primary) { codes[String(match.1)] = Int32(match.2) }
    for match in text.matches(of: extended) {
      let base = try #require(codes[String(match.2)])
      codes[String(match.1)] = try base | #require(Int32(match.3)) << 8
    }
    #expect(codes.count >= 106)
    for (name, code) in codes { #expect(SQLiteError(code: code, message: "").name == name) }
  }

  @Test func unknownCodesFallBack() {
    #expect(SQLiteError(code: 19 | 99 << 8, message: "").name == "SQLITE_CONSTRAINT")
    #expect(SQLiteError(code: 4 | 1 << 8, message: "").name == "SQLITE_ABORT")
    #expect(SQLiteError(code: 77, message: "").name == "SQLITE_UNKNOWN_77")
  }
}
