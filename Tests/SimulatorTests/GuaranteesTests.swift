import Foundation
import SluiceShared
import SluiceSimulator
import Testing

/// What docs/GUARANTEES.md says of the checks that are left out is what the code has.
@Suite("The list of checks in GUARANTEES.md is the code's")
struct GuaranteesTests {
  private static let root = URL(filePath: #filePath).appending(path: "../../..").standardized

  private struct Row {
    var checks: [String]
    var run: String
    var suites: [String]
  }

  /// The words in backquotes.
  private static func quoted(_ text: Substring) -> [String] {
    text.matches(of: #/`(\w+)`/#).map { String($0.1) }
  }

  private static func rows() throws -> [Row] {
    let text = try String(
      contentsOf: root.appending(path: "docs/GUARANTEES.md"), encoding: .utf8)
    let table = text.split(separator: "\n").drop { !$0.hasPrefix("| check | promise |") }
      .dropFirst(2).prefix { $0.hasPrefix("|") }
    return table.map { line in
      let cells = line.split(separator: "|")
      return Row(
        checks: quoted(cells[0]), run: cells[2].trimmingCharacters(in: .whitespaces),
        suites: quoted(cells[3]))
    }
  }

  @Test func eachCheckHasItsLine() throws {
    let listed = try Self.rows().flatMap(\.checks)
    #expect(listed.sorted() == SafetyCheck.allCases.map(\.rawValue).sorted())
  }

  @Test func eachLineSaysWhereItIsFound() throws {
    let mutations = Dictionary(uniqueKeysWithValues: Mutation.all.map { ($0.check.rawValue, $0) })
    for row in try Self.rows() {
      for check in row.checks {
        let run =
          switch mutations[check]?.kind {
          case .system: "whole systems"
          case .log: "log"
          case .journal: "journal"
          case .lease: "lease"
          case nil: "see below"
          }
        #expect(row.run == run, "\(check)")
        // What no run finds an ordinary test does.
        #expect(!row.suites.isEmpty || run != "see below", "\(check)")
      }
    }
  }

  /// A suite that is named is there, and one of a line's suites, or of the scenarios, leaves the check out.
  @Test func eachTestIsThere() throws {
    let tests = Self.root.appending(path: "Tests")
    let paths = FileManager.default.enumerator(at: tests, includingPropertiesForKeys: nil)
    var texts: [String: String] = [:]
    for case let file as URL in paths ?? .init()
    where ["swift", "txt"].contains(file.pathExtension) {
      texts[file.lastPathComponent, default: ""] += try String(contentsOf: file, encoding: .utf8)
    }
    let all = texts.values.joined()
    #expect(texts.count > 300)
    for row in try Self.rows() where !row.suites.isEmpty {
      for suite in row.suites where suite.hasSuffix("Tests") {
        #expect(all.contains("struct \(suite)") || all.contains("class \(suite)"), "\(suite)")
      }
      for check in row.checks where SafetyCheck(rawValue: check) != nil {
        #expect(all.contains(".\(check)") || all.contains("without \(check)"), "\(check)")
      }
    }
  }
}
