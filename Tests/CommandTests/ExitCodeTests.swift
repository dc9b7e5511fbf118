import ArgumentParser
import Foundation
import SluiceShared
import Testing

@testable import sluice

@Suite("Exit codes say what to do next")
struct ExitCodeTests {
  @Test(
    "Each error has the code of its kind",
    arguments: [
      (.invalid, 64), (.limit, 64), (.noSuchStore, 66), (.snapshotExpired, 66), (.timeout, 69),
      (.io, 74), (.outcomeUnknown, 74), (.wrongClock, 74), (.backlogFull, 75), (.notSubmitted, 75),
      (.notLeading, 75), (.damaged, 76), (.foreign, 76), (.unsupported, 76),
      (StoreError.Code(rawValue: "new"), 74),
    ] as [(StoreError.Code, Int32)])
  func codes(code: StoreError.Code, expected: Int32) {
    #expect(ExitCode(code).rawValue == expected)
  }

  @Test("The help and the README list all codes, in the same words")
  func listed() throws {
    #expect(Self.joined(Sluice.helpMessage(columns: 100)).contains(ExitCode.list))
    #expect(Self.joined(try Self.document("README.md")).contains(ExitCode.list))
    #expect(Set(ExitCode.meanings.map(\.code.rawValue)).count == ExitCode.meanings.count)
  }

  /// A code in a document or in a command's help that is none of the list is an old one, or a slip.
  @Test("Whatever names a code names one of the list")
  func named() throws {
    let known = Set(ExitCode.meanings.map(\.code.rawValue))
    var texts: [(name: String, text: String)] = try ["README.md", "docs/OPERATIONS.md"].map {
      ($0, try Self.document($0))
    }
    texts += Sluice.configuration.subcommands.map {
      ("sluice \($0.configuration.commandName ?? "")", $0.helpMessage())
    }
    var count = 0
    for (name, text) in texts {
      for paragraph in text.split(separator: "\n\n") {
        for code in Self.codes(in: Self.joined(String(paragraph))) {
          count += 1
          #expect(known.contains(code), "\(name) tells of exit code \(code): \(paragraph)")
        }
      }
    }
    #expect(count > 20)
  }

  /// What stands behind “exit”, “exits with”, “exit code”, and in a list of codes.
  private static func codes(in text: String) -> [Int32] {
    let single = #/\b[Ee]xits?(?: with| codes?| status)? (\d+)\b/#
    let first = text.matches(of: single).compactMap { Int32($0.1) }
    guard let list = text.firstMatch(of: #/(?i:exit codes?)[ :]/#) else { return first }
    let item = #/(?:^|[:;,] |health check: )(\d\d?) [a-z]/#
    return first + text[list.range.lowerBound...].matches(of: item).compactMap { Int32($0.1) }
  }

  private static func joined(_ text: String) -> String {
    text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }

  private static func document(_ name: String) throws -> String {
    var root = URL(filePath: #filePath)
    for _ in 0..<3 { root.deleteLastPathComponent() }
    return try String(contentsOf: root.appending(path: name), encoding: .utf8)
  }

  @Test("Usage is what the argument parser ends with")
  func usage() {
    #expect(ExitCode.usage == ExitCode.validationFailure)
    #expect(ExitCode.batchRejected.rawValue == 65)
  }
}
