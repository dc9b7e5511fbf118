import Foundation
import Testing

/// What a message may be made of is decided where it is compiled, so that is where this looks.
@Suite("No inside of the program gets into a message")
struct MessageTests {
  /// What the compiler calls for a text that shows a value as Swift sees it, with the names of modules,
  /// types and cases: `[[SluiceShared.SQLValue.text("x")]]`. Without their first two characters, so
  /// that this file has the names only where it has the calls.
  private static let reflecting = [
    // "\(value)" of a type without a description of its own: enums, structs, optionals, `any Error`.
    "s26DefaultStringInterpolationV06appendC0yyxlF":
      "an interpolation of a type without description",
    // The same of a type itself.
    "s26DefaultStringInterpolationV06appendC0yyypXpF": "an interpolation of a type's name",
    // Collections have a description, which shows each element as the debugger would.
    "SayxGs23CustomStringConvertiblesMc": "a text of an array",
    "s10ArraySliceVyxGs23CustomStringConvertiblesMc": "a text of an array's slice",
    "SDyxq_Gs23CustomStringConvertiblesMc": "a text of a dictionary",
    "ShyxGs23CustomStringConvertiblesMc": "a text of a set",
    "SS10describingSSx_tclufC": "String(describing:)",
    "SS10reflectingSSx_tclufC": "String(reflecting:)",
  ]

  private static let modules = [
    "SluiceShared", "SluiceJournal", "SluiceHints", "SluiceVFS", "SluiceSQLite", "SluiceLease",
    "SluiceDynamoDB", "SluiceReader", "SluiceQuery", "SluiceWriter", "SluiceTransactions",
    "SluiceLambda", "SluiceApplier", "SluiceMetrics", "SluiceExtension", "sluice",
  ]

  /// The modules of the library are the folders of `Sources`, but those of C.
  @Test("Each module that is shipped is looked at")
  func complete() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let package = try String(
      contentsOf: root.appendingPathComponent("Package.swift"), encoding: .utf8)
    let made = package.matches(of: /\bmodule\(\s*"(\w+)"/).map { "Sluice\($0.output.1)" }
    #expect(made.count > 10)
    #expect(Set(MessageTests.modules) == Set(made + ["sluice"]))
  }

  /// Where the objects lie that this test was built with.
  private static func products() throws -> URL {
    var directory = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    for candidate in [directory, URL(fileURLWithPath: CommandLine.arguments[0])] {
      directory = candidate.deletingLastPathComponent()
      if FileManager.default.fileExists(atPath: directory.path + "/SluiceShared.build") {
        return directory
      }
    }
    throw Missing()
  }

  private struct Missing: Error {}

  private static func objects(of module: String, in products: URL) throws -> [URL] {
    let directory = products.appendingPathComponent("\(module).build")
    let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
    return names.filter { $0.hasSuffix(".o") }.map { directory.appendingPathComponent($0) }
  }

  /// The ways in which an object makes such texts.
  private static func findings(in object: URL) throws -> [String] {
    let bytes = try Data(contentsOf: object)
    return reflecting.filter { bytes.range(of: Data("$s\($0.key)\0".utf8)) != nil }.map(\.value)
  }

  @Test("Nothing that is shipped shows a value as the debugger would", arguments: modules)
  func shipped(module: String) throws {
    let objects = try MessageTests.objects(of: module, in: try MessageTests.products())
    #expect(!objects.isEmpty)
    for object in objects {
      let findings = try MessageTests.findings(in: object)
      #expect(findings.isEmpty, "\(object.lastPathComponent): \(findings)")
    }
  }

  /// This file does all of it, so a look that found nothing here would find nothing anywhere.
  @Test("The look finds what it looks for")
  func finds() throws {
    enum Inside { case value }
    let texts = [
      "\(Inside.value)", "\(Inside.self)", "\([Inside.value])", "\([Inside.value][...])",
      "\([1: Inside.value])", "\(Set([Inside.value]))", String(describing: Inside.value),
      String(reflecting: Inside.value),
    ]
    #expect(texts.allSatisfy { !$0.isEmpty })
    let objects = try MessageTests.objects(
      of: "SluiceCommandTests", in: try MessageTests.products())
    let found = Set(try objects.flatMap(MessageTests.findings))
    #expect(found == Set(MessageTests.reflecting.values))
  }

  /// Rejections go to standard output.
  @Test("What a command reports is looked at as well as its errors", arguments: [false, true])
  func looksAtReports(isReport: Bool) throws {
    let words = ["rejected: Optional(SluiceShared.SQLValue.null)"]
    if isReport {
      withKnownIssue { _ = try ChildProcess("echo", words, reports: true).result() }
    } else {
      _ = try ChildProcess("echo", words).result()
    }
  }

  @Test("A value that an option does not take is told in one line, with those that it takes")
  func valuesOfOptions() throws {
    for (arguments, expected) in [
      (
        ["--log-level", "loud"],
        "following: trace, debug, info, notice, warning, error, critical; see"
      ),
      (["--keep", "5"], "such as 90s or 7d"), (["--keep-bytes", "5k"], "such as 500M"),
      (["--hints", "here"], "such as 10.0.0.5:7400"),
    ] {
      let end = try sluice(["apply", "store"] + arguments)
      #expect(end.code == 64 && end.errors.contains(expected), "\(end.errors)")
    }
    let end = try sluice(["status", "store", "--wait-until", "then"])
    #expect(end.code == 64 && end.errors.contains("'applied' and 'led'; see"), "\(end.errors)")
  }
}
