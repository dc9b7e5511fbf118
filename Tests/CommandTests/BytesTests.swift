import Foundation
import Glibc
import Testing

@Suite("Bytes that are no UTF-8 are refused where they are given, never changed")
struct BytesTests {
  let place: Workplace

  init() throws { place = try Workplace() }

  /// Runs the command with an argument in which BAD stands for a byte that is no UTF-8.
  private func run(_ arguments: [String], _ environment: String = "") throws -> ChildProcess.Result
  {
    // Only a shell gives bytes as they are.
    let words = arguments.map { word in
      let quoted = "'" + word.replacingOccurrences(of: "'", with: "'\\''") + "'"
      return quoted.replacingOccurrences(of: "BAD", with: "'\"$bad\"'")
    }
    let script = "bad=$(printf '\\344'); \(environment) exec \"$0\" \(words.joined(separator: " "))"
    return try ChildProcess("sh", ["-c", script, program]).result()
  }

  @Test(
    "Each argument of each command",
    arguments: [
      (["init", "store-BAD"], 2), (["init", "s", "--from", "BAD.db"], 4),
      (["init", "s", "--extension=BAD.so"], 3),
      (["submit", "STORE", "INSERT INTO w VALUES('BAD')"], 3),
      (["submit", "STORE", "INSERT INTO w VALUES(?)", "BAD"], 4),
      (["submit", "STORE", "SELECT 1", "--id", "key-BAD"], 5),
      (["submit", "STORE", "SELECT 1", "--id=key-BAD"], 4),
      (["submit", "STORE", "--sql", "BAD"], 4),
      (["submit", "BAD", "SELECT 1"], 2), (["outcome", "STORE", "--id", "BAD"], 4),
      (["apply", "STORE", "--drain", "--holder", "BAD"], 5),
      (["query", "STORE", "SELECT 'BAD'"], 3),
      (["query", "STORE", "SELECT ?", "--", "BAD"], 5), (["status", "BAD"], 2),
      (["checkpoint", "BAD"], 2), (["BAD"], 1),
    ] as [([String], Int)])
  func arguments(arguments: [String], number: Int) throws {
    try place.make(applying: false)
    let result = try run(arguments.map { $0.replacingOccurrences(of: "STORE", with: place.store) })
    #expect(result.code == 64 && result.output == "")
    #expect(
      result.errors.hasPrefix("sluice: argument \(number) is no UTF-8: ")
        && result.errors.contains("\\xe4"), "\(result.errors)")
  }

  @Test("The scratch directory")
  func scratch() throws {
    try place.make(applying: false)
    let result = try run(["apply", place.store, "--drain"], "TMPDIR=/tmp/$bad")
    #expect(result.code == 64 && result.errors.contains("TMPDIR is no UTF-8"), "\(result.errors)")
  }

  @Test("What is UTF-8 is taken as it is")
  func whole() throws {
    try place.make()
    try place.execute("CREATE TABLE w(v)")
    // Two keys that are the same for people, and a replacement character that is meant.
    for key in ["caf\u{E9}", "cafe\u{301}", "\u{FFFD}"] {
      try place.execute("INSERT INTO w VALUES(?)", key, "--id", key)
    }
    #expect(
      try place.query("SELECT hex(v) FROM w ORDER BY rowid", "--csv").lines.dropFirst() == [
        "636166C3A9", "63616665CC81", "EFBFBD",
      ])
  }
}
