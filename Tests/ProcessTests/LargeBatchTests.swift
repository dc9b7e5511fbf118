import Foundation
import Glibc
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

/// What a process had at most is no matter of speed; a sanitizer's own memory would count, so they do
/// without.
@Suite("The largest batches are executed within the memory that is stated")
struct LargeBatchTests {
  private static let most = 256 << 10

  /// The most that a process ever had resident, in KiB; nil where it is gone.
  private static func peak_KiB(_ process: pid_t) -> Int? {
    guard let text = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8),
      let line = text.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") })
    else { return nil }
    return line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap {
      Int($0)
    }
  }

  private static func children(of process: pid_t) -> [pid_t] {
    let tasks =
      (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task")) ?? []
    return tasks.flatMap { task in
      ((try? String(contentsOfFile: "/proc/\(process)/task/\(task)/children", encoding: .utf8))
        ?? "")
        .split(separator: " ").compactMap { pid_t($0) }
    }
  }

  private static func noise(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      if let base = buffer.baseAddress { arc4random_buf(base, count) }
      filled = count
    }
  }

  private static func batch(_ kind: String) -> Batch {
    switch kind {
    case "blob":
      return Batch([
        Batch.Statement("INSERT INTO large VALUES (?)", [.blob(noise(63 << 20))])
      ])
    case "texts":
      let digits = noise(1 << 19).map { hexadecimal($0, width: 2) }.joined()
      return Batch([
        Batch.Statement(
          "INSERT INTO large VALUES (?)", rows: (0..<63).map { [.text("\($0)" + digits)] })
      ])
    default:
      let blobs = [String](repeating: "randomblob(10000000)", count: 8).joined(separator: ", ")
      return Batch([
        Batch.Statement("CREATE TABLE wide(a, b, c, d, e, f, g, h)"),
        Batch.Statement("INSERT INTO wide VALUES (\(blobs))"),
      ])
    }
  }

  @Test(arguments: ["blob", "texts", "randomblobs"])
  func applierAndChildTogether(_ kind: String) async throws {
    try await onThread {
      let store = try TestStore()
      let applier = try ChildProcess(program, ["apply", store.path, "--holder", "a"])
      try wait("a leads") { try store.holder() == "a" }
      let writer = try store.writer()
      func apply(_ batch: Batch) throws -> Outcome {
        let receipt = try writer.submitBlocking(batch)
        return try writer.outcomeBlocking(of: receipt, timeout: .seconds(180 * patience)).outcome
      }
      #expect(try apply(Batch([Batch.Statement("CREATE TABLE large(x)")])).isApplied)
      let outcome = try apply(Self.batch(kind))
      #expect(outcome.isApplied, "\(outcome)")
      let processes = [applier.id] + Self.children(of: applier.id)
      let peaks = processes.compactMap(Self.peak_KiB)
      #expect(peaks.count == 2)
      #expect(peaks.reduce(0, +) <= Self.most, "\(peaks) KiB")
    }
  }
}
