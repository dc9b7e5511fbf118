import Glibc
import SluiceShared
import Testing

@testable import sluice

@Suite("Lines are read with bounded memory")
struct LineReaderTests {
  private func lines(_ text: String, limit: Int = 1000) throws -> [String] {
    var reader = LineReader(try input(text), lineBytesLimit: limit)
    var lines: [String] = []
    while let line = try reader.next() { lines.append(String(decoding: line, as: UTF8.self)) }
    return lines
  }

  @Test(
    "A last line needs no line feed",
    arguments: [
      ("", []), ("\n", [""]), ("a", ["a"]), ("a\n", ["a"]), ("a\n\nb", ["a", "", "b"]),
    ])
  func lastLine(text: String, expected: [String]) throws {
    #expect(try lines(text) == expected)
  }

  @Test("Lines longer than a chunk are whole")
  func longLines() throws {
    let long = [300_000, 1, 262_143, 262_144, 0, 600_000].map { String(repeating: "x", count: $0) }
    #expect(try lines(long.joined(separator: "\n"), limit: 600_000) == long)
  }

  @Test("A line over the limit is refused, however it ends", arguments: ["", "\n", "\nb"])
  func overlongLine(end: String) throws {
    #expect(try lines("ab\n" + String(repeating: "x", count: 10), limit: 10).count == 2)
    let error = storeError {
      _ = try lines("ab\n" + String(repeating: "x", count: 11) + end, limit: 10)
    }
    #expect(error?.code == .invalid)
    #expect(error?.message.hasPrefix("input, line 2: the line is over 10 bytes") == true)
  }

  @Test("A line from a pipe comes before the writer is done")
  func pipes() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    var reader = LineReader(InputFile(descriptor: ends[0], name: "pipe"))
    #expect(write(ends[1], "a\nb", 3) == 3)
    #expect(try reader.next() == Array("a".utf8))
    #expect(write(ends[1], "c\n", 2) == 2)
    #expect(try reader.next() == Array("bc".utf8))
    close(ends[1])
    #expect(try reader.next() == nil)
    #expect(reader.lineNumber == 2)
  }

  @Test("A file that is not there is named, and so is a directory")
  func missing() {
    let missing = storeError { _ = try InputFile("/nonexistent/batches.ndjson") }
    #expect(missing?.code == .noSuchStore)
    #expect(missing?.path == "/nonexistent/batches.ndjson")
    let directory = storeError { _ = try InputFile("/tmp").readChunk() }
    #expect(directory?.code == .io)
    #expect(directory?.errno == EISDIR)
  }
}
