import SluiceFakes
import SluiceShared

@testable import SluiceJournal

/// Values that the tests of the formats share.
enum Samples {
  static let store = StoreID(high: 0x0190_0000_0000_7111, low: 0x8000_0000_0000_0222)
  static let writer = WriterID(high: 0x0190_0000_0001_7333, low: 0x8000_0000_0000_0444)
  static let otherWriter = WriterID(high: 0x0190_0000_0002_7555, low: 0x8000_0000_0000_0666)

  static let values: [SQLValue] = [
    .null, .integer(0), .integer(-1), .integer(.max), .integer(.min), .real(0.5), .real(-0.0),
    .real(.infinity), .text(""), .text("é\u{0}漢字"), .blob([]), .blob([0, 255, 7]),
  ]

  static let batch = Batch(
    [
      Batch.Statement("INSERT INTO t VALUES (?, ?)", rows: [[1, "a"], [2, "b"], [3, .null]]),
      Batch.Statement("UPDATE t SET n = n + 1"),
      Batch.Statement("INSERT INTO t VALUES (?, ?)", [.real(2.5), .blob([1, 2, 3])]),
    ], key: "order-1", guards: [Batch.Statement("SELECT count(*) = 0 FROM t WHERE id = ?", [1])],
    wantsResults: true)

  static let outcomes: [Outcome] = [
    .applied(.init(changes: 0, lastRowID: 0, rows: nil)),
    .applied(.init(changes: -1, lastRowID: .max, rows: [])),
    .applied(.init(changes: 3, lastRowID: 7, rows: [values, [], [1]])),
    .rejected(.init(code: "SQLITE_CONSTRAINT_UNIQUE", message: "UNIQUE constraint failed: t.id")),
    .duplicate(of: TxID(3), original: .rejected(.init(code: "guardFailed", message: ""))),
  ]

  static let meta = CommitMeta(
    commit: 9, time_ms: 1_700_000_000_123, entropy: Identifier128(high: 5, low: 6),
    pageSize: 512, pageCount: 3, checksum: DatabaseChecksum(0x0123_4567_89AB_CDEF), rejected: 2)

  /// The batches section of `batches`.
  static func list(_ batches: [[UInt8]]) -> [UInt8] {
    var writer = ByteWriter()
    for batch in batches {
      writer.append(UInt32(batch.count))
      writer.append(raw: batch)
    }
    return writer.bytes
  }

  /// Bytes that do not compress.
  static func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var random = SeededRandom(seed: seed)
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() >> 32) }
  }

  static func environment(_ fileSystem: any FileSystem) -> Environment {
    Environment(
      fileSystem: fileSystem, clock: ManualClock(), executor: InlineExecutor(), random: { 77 })
  }

  /// An open file with this content.
  static func file(_ content: [UInt8]) throws -> any File {
    let file = try MemoryFileSystem().create("/file", mode: 0o600)
    try file.write(content, at: 0)
    return file
  }
}

/// Every way to change one byte of `bytes[range]`, by `masks`; and the place.
func corruptions(
  of bytes: [UInt8], in range: Range<Int>, masks: [UInt8], _ body: ([UInt8], Int) throws -> Void
) rethrows {
  var bytes = bytes
  for place in range {
    for mask in masks {
      bytes[place] ^= mask
      try body(bytes, place)
      bytes[place] ^= mask
    }
  }
}
