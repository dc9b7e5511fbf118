import Foundation
import Glibc
import Testing

@Suite("An applier takes as many open files as it may have")
struct OpenFileLimitTests {
  /// Soft and hard.
  private func limits(of process: pid_t) throws -> (soft: Substring, hard: Substring) {
    let text = try String(contentsOfFile: "/proc/\(process)/limits", encoding: .utf8)
    let line = try #require(
      text.split(separator: "\n").first { $0.hasPrefix("Max open files") })
    let words = line.split(separator: " ")
    try #require(words.count >= 5)
    return (words[3], words[4])
  }

  /// Which shells and supervisors leave low, since some programs cannot bear more.
  @Test("The soft limit is raised to the hard one")
  func softLimit() async throws {
    try await onThread {
      let store = try TestStore()
      let hard = try limits(of: getpid()).hard
      let applier = try ChildProcess(
        "sh",
        [
          "-c", "ulimit -S -n 64; exec \"$@\"", "sh", program, "apply", store.path, "--holder", "a",
        ])
      try wait("a leads") { try store.holder() == "a" }
      let found = try limits(of: applier.id)
      #expect(found.hard == hard)
      #expect(found.soft == hard && found.soft != "64")
      applier.send(SIGTERM)
      #expect(try applier.end().code == 0)
    }
  }
}
