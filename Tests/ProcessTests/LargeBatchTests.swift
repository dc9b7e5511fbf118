import Foundation
import Glibc
import SluiceApplier
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

/// What a process had at most is no matter of speed; a sanitizer's own memory would count, so they do
/// without.
@Suite("The largest batches are executed within the memory that is stated")
struct LargeBatchTests {
  private static let most = 256 << 10

  /// The most that a process ever had resident, in KiB, without what it maps of its own program: both have the
  /// same, and unoptimized it is as large again. nil where it is gone.
  private static func peak_KiB(_ process: pid_t) -> Int? {
    guard let text = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8) else {
      return nil
    }
    func field(_ name: String) -> Int? {
      let line = text.split(separator: "\n").first { $0.hasPrefix("\(name):") }
      return line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first
        .flatMap { Int($0) }
    }
    guard let peak = field("VmHWM"), let program = field("RssFile") else { return nil }
    return peak - program
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

  /// What a process is left with when everything that it caches is full of pages.
  private static let warming = [
    "CREATE TABLE warm(a INTEGER PRIMARY KEY, b)",
    "INSERT INTO warm(b) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 80000) SELECT randomblob(900) FROM c",
    "UPDATE warm SET b = b WHERE a % 100 = 0",
    "DELETE FROM warm WHERE a = 1 AND (SELECT sum(length(b)) FROM warm) > 0",
  ]

  @Test(arguments: ["blob", "texts", "randomblobs"], [false, true])
  func applierAndChildTogether(_ kind: String, isWarm: Bool) async throws {
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
      for sql in isWarm ? Self.warming : [] {
        #expect(try apply(Batch([Batch.Statement(sql)])).isApplied)
      }
      let outcome = try apply(Self.batch(kind))
      #expect(outcome.isApplied, "\(outcome)")
      let processes = [applier.id] + Self.children(of: applier.id)
      let peaks = processes.compactMap(Self.peak_KiB)
      #expect(peaks.count == 2)
      #expect(peaks.reduce(0, +) <= Self.most, "\(peaks) KiB")
    }
  }

  /// Each statement is a batch of an applier's, which takes no more memory with its child than it may: what both had at
  /// most while it was executed, though they need not have had it at the same moment.
  private func applyWithin(_ store: TestStore, _ statements: [String]) throws {
    let applier = try ChildProcess(
      program, ["apply", store.path, "--holder", "a", "--batch-time", "900"])
    try wait("a leads") { try store.holder() == "a" }
    let writer = try store.writer()
    for sql in statements {
      let processes = [applier.id] + Self.children(of: applier.id)
      for process in processes { try Self.forgetPeak(of: process) }
      let receipt = try writer.submitBlocking(Batch([Batch.Statement(sql)]))
      let outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(900)).outcome
      #expect(outcome.isApplied, "\(outcome)")
      let peaks = processes.compactMap(Self.peak_KiB)
      print("applier and child: \(peaks) KiB")
      #expect(peaks.count == 2 && peaks.reduce(0, +) <= Self.most, "\(peaks) KiB: \(sql)")
    }
  }

  /// From now on `VmHWM` is what it has at most from now on.
  private static func forgetPeak(of process: Int32) throws {
    let file = open("/proc/\(process)/clear_refs", O_WRONLY | O_CLOEXEC)
    try #require(file >= 0)
    defer { close(file) }
    #expect(write(file, "5", 1) == 1)
  }

  /// As many as 2 GiB have in pages of 4 KiB: what is remembered of a page takes the same of a small one.
  @Test("Made, and written anew, by one batch each")
  func halfAMillionPages() async throws {
    try await onThread {
      var creation = StoreCreation()
      creation.pageSize = 512
      let store = try TestStore(creation)
      try applyWithin(
        store,
        [
          "CREATE TABLE many(a INTEGER PRIMARY KEY, b)",
          "INSERT INTO many WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 500000) SELECT i, zeroblob(350) FROM c",
          "UPDATE many SET b = zeroblob(351)",
        ])
    }
  }

  /// Of the table that is indexed and written anew. `make large` makes it 2 GiB.
  private static let megabytes =
    ProcessInfo.processInfo.environment["SLUICE_TEST_MEGABYTES"].flatMap(Int.init) ?? 300

  private static var isLarge: Bool { megabytes > 300 }

  /// All of the table is read and sorted, and a third of what it takes is written, by one statement. Where it is large,
  /// all of it is then written anew by one.
  @Test("An index on a table of hundreds of MB")
  func index() async throws {
    try await onThread {
      let store = try TestStore()
      let rows = Self.megabytes * 833
      try applyWithin(
        store,
        [
          "CREATE TABLE large(a INTEGER PRIMARY KEY, k, b)",
          "INSERT INTO large WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < \(rows)) SELECT i, printf('%0300d', i * 7919 % \(rows + 7)), zeroblob(850) FROM c",
          "CREATE INDEX byKey ON large(k)",
        ] + (Self.isLarge ? ["UPDATE large SET b = randomblob(850)"] : []))
      let bytes = try store.query(
        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
      guard case .integer(let bytes)? = bytes.first?.first else { return }
      #expect(bytes > Int64(Self.megabytes) * 1_230_000)
      let found = try store.query(
        "SELECT count(*) FROM large INDEXED BY byKey WHERE k > printf('%0300d', \(rows - 3))")
      #expect(found.first?.first == 9)
      let written = try store.query("SELECT count(DISTINCT b) FROM large WHERE a % 1000 = 0")
      #expect(written.first?.first == .integer(Self.isLarge ? Int64(rows / 1000) : 1))
    }
  }

  /// A string of nearly the batch's limit, in JSON: as a text, and as a blob in base64.
  @Test(arguments: [false, true])
  func submit(isBlob: Bool) async throws {
    try await onThread {
      let store = try TestStore()
      let path = "\(store.path)-input"
      defer { unlink(path) }
      let digits = [UInt8](repeating: UInt8(ascii: "A"), count: (isBlob ? 84 : 63) << 20)
      let (before, behind) = isBlob ? ("{\"base64\": \"", "\"}") : ("\"", "\"")
      let line =
        Array("{\"statements\": [[\"INSERT INTO t(x) VALUES (?)\", [\(before)".utf8) + digits
        + Array("\(behind)]]]}\n".utf8)
      try Data(line).write(to: URL(fileURLWithPath: path))
      // Nobody applies it: so it waits for a moment, and can be looked at.
      let submitting = try ChildProcess(
        program, ["submit", store.path, "--ndjson", path, "--timeout", "\(3 * patience)"])
      var peak = 0
      while submitting.isRunning {
        peak = max(peak, Self.peak_KiB(submitting.id) ?? 0)
        pause(5)
      }
      let end = try submitting.end()
      #expect(end.code == 69, "\(end.errors)")
      #expect(peak > Limits.batchBytes >> 10 && peak <= Self.most, "\(peak) KiB")
    }
  }
}
