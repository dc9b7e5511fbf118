import Foundation
import Sluice
import SluiceTeardown
import Testing

/// What the README shows of Swift compiles for a program that imports `Sluice` alone, and does what it says.
struct READMETests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()

  /// What is Swift in the README, a text for each example, without the lines that are a program's own: what it
  /// imports, and where its store lies.
  private static func examples() throws -> [String] {
    let readme = try String(
      contentsOf: folder.appendingPathComponent("../../README.md"), encoding: .utf8)
    return readme.matches(of: #/```swift\n((?s).*?)```/#).map { example in
      example.1.split(separator: "\n").filter { line in
        line != "import Sluice" && !line.hasPrefix("let path = ")
          && !line.hasPrefix("// Package.swift")
      }.joined(separator: "\n")
    }
  }

  private static func withoutBlanks(_ text: String) -> String { text.filter { !$0.isWhitespace } }

  @Test func theExamplesAreCompiled() throws {
    let compiled = Self.withoutBlanks(
      try String(
        contentsOf: Self.folder.appendingPathComponent("READMEExamples.swift"), encoding: .utf8))
    let examples = try Self.examples()
    #expect(examples.count == 4)
    for example in examples {
      #expect(
        compiled.contains(Self.withoutBlanks(example)),
        "READMEExamples.swift has not what the README shows:\n\(example)")
    }
  }

  @Test func aProgramImportsOneModule() throws {
    let text = try String(
      contentsOf: Self.folder.appendingPathComponent("READMEExamples.swift"), encoding: .utf8)
    #expect(text.matches(of: #/import (\w+)/#).map { $0.1 } == ["CSQLite", "Sluice"])
  }

  @Test func theExamplesDoWhatTheySay() async throws {
    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("sluice-readme-\(UUID())").path
    defer {
      StoreTeardown(at: #_sourceLocation).verify(path)
      try? FileManager.default.removeItem(atPath: path)
    }
    try StoreCreation().make(at: path)
    let writer = try Writer(store: path)
    let receipt = try await writer.submit(
      Batch([
        .init("CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT UNIQUE, stock INTEGER)"),
        .init(
          "INSERT INTO item(name, stock) VALUES (?, ?)",
          rows: [[.text("bolt"), .integer(100)], [.text("nut"), .integer(50)]]),
      ]))
    let made = try await READMEExamples.assist(path, writer, receipt)
    #expect(made.txid == TxID(1))

    let applier = Assistant(store: path, options: ApplierOptions(holder: "test"))
    applier.begin()
    try await READMEExamples.writeAndRead(path)
    applier.end()
    let rows = try await Database(path: path).read {
      try $0.query("SELECT name, stock FROM item ORDER BY name")
    }
    #expect(rows == [["bolt", 99], ["nut", 49], ["screw", 250]])

    let following = Task { try await READMEExamples.follow(path, from: made) }
    following.cancel()
    try await following.value
    await writer.close()
    await withUnsafeContinuation { applier.finish(.task($0)) }
  }
}
