import Glibc
import SluiceJournal
import SluiceShared
import Testing

@testable import sluice

@Suite("An input is read as text, whatever encoding it has, and what is no text is named")
struct InputTextTests {
  private static let script = "INSERT INTO t VALUES ('é漢🙂');\nS;\n"

  private func texts(_ bytes: [UInt8]) throws -> [String] {
    try batches(try SQLScriptReader(try input(bytes))).flatMap(\.batch.statements).map(\.sql)
  }

  private static func utf16(_ text: String, bigEndian: Bool, mark: Bool = true) -> [UInt8] {
    ((mark ? [0xFEFF] : []) + Array(text.utf16)).flatMap { unit -> [UInt8] in
      let bytes = [UInt8(unit >> 8), UInt8(unit & 0xFF)]
      return bigEndian ? bytes : bytes.reversed()
    }
  }

  @Test("UTF-16 in both orders, with a mark and without", arguments: [true, false], [true, false])
  func utf16(bigEndian: Bool, mark: Bool) throws {
    let expected = ["INSERT INTO t VALUES ('é漢🙂')", "S"]
    #expect(try texts(Array(Self.script.utf8)) == expected)
    #expect(try texts(Self.utf16(Self.script, bigEndian: bigEndian, mark: mark)) == expected)
    // Over many chunks, which end within characters.
    let long = "S '\(String(repeating: "🙂é", count: 100_000))'"
    for padding in ["", " "] {
      #expect(
        try texts(Self.utf16(padding + long, bigEndian: bigEndian, mark: mark)) == [long])
    }
    let lines = Self.utf16("\n{\"statements\": [[\"S\"]]}\n", bigEndian: bigEndian, mark: mark)
    #expect(try batches(NDJSONReader(try input(lines))).map(\.line) == [2])
  }

  @Test(
    "UTF-16 that ends within a character or has half of one is refused",
    arguments: [
      [0xFF, 0xFE, 0x53, 0x00, 0x3B], [0xFF, 0xFE, 0x00, 0xD8],
      [0xFF, 0xFE, 0x00, 0xDC, 0x53, 0x00],
      [0xFE, 0xFF, 0xD8, 0x00, 0x00, 0x53],
    ] as [[UInt8]])
  func brokenUTF16(bytes: [UInt8]) {
    let error = storeError { _ = try texts(bytes) }
    #expect(error?.code == .invalid)
    #expect(error?.message.contains("begins as UTF-16, and at byte") == true)
  }

  /// So that a line is read when it is written, and not some lines later.
  @Test("No more is waited for than tells what it is", arguments: ["{}\n", "S;", "\n\n", "é\n"])
  func shortLines(line: String) throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    defer { close(ends[1]) }
    var text = InputText(InputFile(descriptor: ends[0], name: "pipe"))
    #expect(write(ends[1], line, line.utf8.count) == line.utf8.count)
    #expect(try text.readChunk() == Array(line.utf8))
  }

  @Test(
    "A database, a compressed file and UTF-32 are told, with what to do",
    arguments: [
      (Array("SQLite format 3\0".utf8), "`sluice init STORE --from FILE`"),
      ([0x1F, 0x8B, 8, 0], "`gunzip -c FILE | sluice submit STORE …`"),
      (Array("BZh91AY".utf8), "bunzip2"), ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], "unxz"),
      ([0x28, 0xB5, 0x2F, 0xFD], "unzstd"), (Array("PK\u{3}\u{4}".utf8), "unzip"),
      ([0xFF, 0xFE, 0, 0, 0x53, 0, 0, 0], "UTF-32"), ([0, 0, 0xFE, 0xFF], "UTF-32"),
    ] as [([UInt8], String)])
  func noText(signature: [UInt8], advice: String) throws {
    for rest in [[], [UInt8](repeating: 7, count: 100)] {
      func named() throws -> InputFile {
        InputFile(descriptor: try descriptor(signature + rest), name: InputFile.standardInput)
      }
      for error in [
        storeError { _ = try batches(try SQLScriptReader(try named())) },
        storeError { _ = try batches(NDJSONReader(try named())) },
      ] {
        #expect(error?.code == .invalid)
        #expect(error?.message.contains(advice) == true, "\(error?.message ?? "none")")
      }
    }
  }
}
