import Foundation
import Glibc
import SluiceShared
import Testing

@Suite("A script's large values are submitted within the memory that is stated")
struct LargeScriptTests {
  private static let most_KiB = 256 << 10

  /// The most that a process ever had resident; nil where it is gone.
  private func peak_KiB(_ process: pid_t) -> Int? {
    let text = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
    let line = text?.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap {
      Int($0)
    }
  }

  enum Kind: String, CaseIterable { case blob, text, lines }

  /// `count` bytes of values, as SQL.
  private func script(_ kind: Kind, _ count: Int) -> [UInt8] {
    switch kind {
    case .blob:
      Array("INSERT INTO t(w, x) VALUES(7, x'".utf8)
        + [UInt8](repeating: UInt8(ascii: "7"), count: 2 * count) + Array("');\n".utf8)
    case .text:
      Array("INSERT INTO t(w, x) VALUES(7, '".utf8)
        + [UInt8](repeating: UInt8(ascii: "x"), count: count) + Array("');\n".utf8)
    case .lines:
      (0..<count / 1000).flatMap { _ in
        Array("INSERT INTO t(w, x) VALUES(7, '".utf8)
          + [UInt8](repeating: UInt8(ascii: "x"), count: 960) + Array("');\n".utf8)
      }
    }
  }

  @Test("A blob's digits, a text, and many statements", arguments: Kind.allCases)
  func submit(kind: Kind) async throws {
    try await onThread {
      let store = try TestStore()
      let path = "\(store.path)-script.sql"
      defer { unlink(path) }
      let count = 60 << 20
      try Data(script(kind, count)).write(to: URL(fileURLWithPath: path))
      // Nobody applies it: so it waits for a moment, and can be looked at.
      let submitting = try ChildProcess(
        program, ["submit", store.path, "--sql", path, "--timeout", "\(3 * patience)"])
      var peak = 0
      while submitting.isRunning {
        peak = max(peak, peak_KiB(submitting.id) ?? 0)
        pause(5)
      }
      let end = try submitting.end()
      #expect(end.code == 69, "\(end.errors)")
      #expect(peak > count >> 10 && peak <= Self.most_KiB, "\(peak) KiB")
      guard kind == .blob else { return }
      try store.drain()
      #expect(
        try store.query("SELECT typeof(x), length(x), hex(substr(x, -1)) FROM t WHERE w = 7")
          == [["blob", .integer(Int64(count)), "77"]])
    }
  }
}
