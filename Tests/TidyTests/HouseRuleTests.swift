import Foundation
import Testing

/// The house rules of CONTRIBUTING that a program can keep. What broke one when it came is listed in
/// `Exceptions`, with its size: a size may shrink, and no line may be added.
@Suite("The house rules")
struct HouseRuleTests {
  private static let folders = ["Sources", "Tests", "Benchmarks"]

  private func sources() throws -> [SourceFile] { try SourceFile.all(in: ["Sources"], ["swift"]) }

  @Test func aFileIsOneIdea() throws {
    let lengths = try SourceFile.all(in: Self.folders, ["swift", "c", "h"])
      .map { ($0.path, $0.lines.count) }
    #expect(lengths.count > 300)
    check(lengths, most: 400, [:], "lines; a file is one idea: find the seam")
  }

  @Test func aFunctionFitsAScreen() throws {
    var lengths: [(String, Int)] = []
    for file in try SourceFile.all(in: Self.folders, ["swift"]) {
      for (name, lines) in file.functions { lengths.append(("\(file.path) \(name)", lines)) }
    }
    #expect(lengths.count > 3000)
    check(lengths, most: 60, Exceptions.functionLines, "lines; a function fits a screen")
  }

  @Test func nothingIsUnwrappedByForce() throws {
    let force = #/[A-Za-z0-9_)\]]!(?!=)|\btry!|\bas!/#
    check(
      try sources().map { file in (file.path, file.code.filter { $0.contains(force) }.count) },
      most: 0, Exceptions.forced, "lines that unwrap by force")
  }

  @Test func errorsOfTheSystemHaveNames() throws {
    let bare = #/\berrno(: | == | != |, )-?[1-9][0-9]*\b/#
    check(
      try sources().map { file in
        (file.path, file.code.map { $0.matches(of: bare).count }.reduce(0, +))
      }, most: 0, [:], "bare errno numbers; Glibc has their names")
  }

  /// It makes each start of a process longer, by 0.4 ms where it is linked statically. No module is left out.
  @Test func whatIsShippedImportsNoFoundation() throws {
    let files = try sources()
    // Each folder of Sources that has Swift in it.
    let modules = Set(files.map { $0.path.split(separator: "/")[1] })
    #expect(modules.isSuperset(of: ["Applier", "DynamoDB", "Lambda", "Lease", "sluice"]))
    #expect(files.count > 300)
    checkNone(in: files, "imports Foundation") {
      $0.contains(#/import ((struct|class|enum|func|protocol) )?Foundation(Essentials)?\b/#)
    }
  }

  /// It is opened with the first request to a table, and costs 8 ms.
  @Test func libcurlIsInOneFolder() throws {
    let files = try SourceFile.all(in: ["Sources"], ["swift", "c", "h"])
    let using = files.filter { file in
      file.code.contains { $0.contains(#/import CCurl|libcurl\.so|ccurl_open/#) }
    }
    #expect(Set(using.map { $0.path.split(separator: "/")[1] }) == ["CCurl", "DynamoDB"])
  }

  @Test func limitsAreInLimits() throws {
    let limit =
      #/static let (most|longest|largest|least|smallest|shortest|max|min)[A-Z]\w*(: \w+)? = [^"]/#
    check(
      try sources().filter { $0.path != "Sources/Shared/Limits.swift" }.map { file in
        (file.path, file.code.filter { $0.contains(limit) }.count)
      }, most: 0, Exceptions.limits, "limits of its own; a limit is in Limits")
  }

  /// Each is a word of somebody else's. DESIGN's words are lead, term, quarantine, care.
  @Test(arguments: ["office", "aside", "with care", "in vain"])
  func onlyOurWords(word: String) throws {
    let expression = try Regex("\\b\(word)\\b").ignoresCase()
    var files = try SourceFile.all(in: Self.folders, ["swift", "c", "h"])
    files += try SourceFile.all(in: ["docs"], ["md"])
    let uses = files.filter { !$0.path.hasPrefix("Tests/TidyTests/") }.map { file in
      (file.path, file.lines.filter { $0.contains(expression) }.count)
    }
    check(uses, most: 0, Exceptions.words[word] ?? [:], "times “\(word)”")
  }

  // MARK: What the rules rest on

  @Test func stringsAndCommentsAreNoCode() {
    let text = #"""
      let a = "b! \(c["d!"]!) e!" // f!
      let g = """
        h!
        """
      let i = j!
      """#
    let code = SourceFile.code(of: text)
    #expect(code.filter { $0 == "!" }.count == 1 && code.contains("j!"))
    #expect(code.split(separator: "\n", omittingEmptySubsequences: false).count == 5)
  }

  @Test func functionsAreMeasured() {
    let file = SourceFile(
      path: "a.swift",
      text: """
        struct A {
          init?(_ a: Int) { nil }
          private func long(
            _ b: Int
          ) -> Int
          {
            if b > 0 {
              return 1
            }
            return 2
          }
          func two() {
          }
        }
        """)
    #expect(file.functions.map(\.name) == ["func long", "func two"])
    #expect(file.functions.map(\.lines) == [9, 2])
  }

  // MARK: How they are held

  /// Each size is at most `most`, or at most what is listed; what is listed is over `most`.
  private func check(
    _ sizes: [(String, Int)], most: Int, _ exceptions: [String: Int], _ what: String
  ) {
    let largest = Dictionary(sizes, uniquingKeysWith: max)
    for (name, size) in largest.sorted(by: { $0.key < $1.key }) {
      let allowed = exceptions[name] ?? most
      #expect(size <= allowed, "\(name): \(size) \(what) (at most \(allowed))")
    }
    for (name, listed) in exceptions {
      let size = largest[name] ?? 0
      #expect(size > most, "\(name) keeps to the rule: take it off the list in Exceptions")
      #expect(listed - size <= max(1, listed / 10), "\(name) has shrunk to \(size): list that")
    }
  }

  private func checkNone(
    in files: [SourceFile], _ what: String, _ isBad: (String) -> Bool
  ) {
    for file in files {
      for (i, line) in file.code.enumerated() where isBad(line) {
        Issue.record("\(file.path):\(i + 1) \(what)")
      }
    }
  }
}
