import SluiceShared

@testable import SluiceApplier
@testable import SluiceJournal

extension FuzzTarget {
  /// A journal file as the applier reads it: somebody else's.
  static let journalSegment = FuzzTarget(
    name: "journal-segment", mostBytes: 4096,
    seeds: { golden in
      try ["journal", "journal-one-shot", "journal-pages", "journal-parts"].flatMap { name in
        let packed = PackedBlocks.pack(try golden.file(name), sealed: [Block.header])
        return FuzzMode.combinations.map { [$0.rawValue] + packed }
      }
    },
    run: { input in
      guard let (mode, file) = blocks(input) else { return }
      attackJournal(Repair.journal(file, mode))
    })

  private static func attackJournal(_ file: [UInt8]) {
    var store = StoreID(high: 1, low: 1)
    var id = JournalSegmentID(writer: WriterID(high: 2, low: 2), number: 1)
    if file.count >= 2 * Block.size {
      let block = Array(file[Block.size..<2 * Block.size])
      if case .header(let header, let checksum) = block.withUnsafeBytes({
        JournalSegmentHeader.decode($0)
      }) {
        (store, id) = (header.store, header.id)
        let again = header.encoded()
        guard
          case .header(let decoded, _) = again.withUnsafeBytes({ JournalSegmentHeader.decode($0) })
        else { broken("a journal header is not decoded again") }
        demand(decoded == header, "a journal header is decoded as another")
        demand(
          again != block || JournalSegmentHeader.checksum(of: block) == checksum,
          "a header's checksum is another one")
      }
    }
    let environment = fixedEnvironment(["/segment": file])
    refusable {
      let first = try readAll(store, id, environment)
      let second = try readAll(store, id, environment)
      demand(first == second, "a journal segment is read differently the second time")
    }
  }

  /// All batches of a segment, as the applier takes them in.
  private static func readAll(_ store: StoreID, _ id: JournalSegmentID, _ environment: Environment)
    throws -> [[UInt8]]
  {
    let reader = JournalSegmentReader(id, path: "/segment", names: 1, environment: environment)
    var batches: [[UInt8]] = []
    while true {
      let before = reader.offset
      let frames = try reader.poll(store: store, atMost: 4 << 20, now: .zero).frames
      var total = 0
      for frame in frames {
        demand(frame.last >= frame.first, "a frame's last batch comes before its first")
        demand(Int64(exactly: frame.last.rawValue) != nil, "SQLite cannot hold a sequence number")
        total += Int(frame.rawBytes)
        guard let (bytes, ranges) = try? frame.batches() else { continue }
        demand(ranges.count == Int(frame.count), "a frame has not as many batches as it says")
        for range in ranges.prefix(64) {
          let batch = Array(bytes[range])
          attackBatch(batch)
          batches.append(batch)
        }
      }
      demand(total >= 0, "a segment's bytes cannot be counted")
      if frames.isEmpty {
        demand(reader.offset >= before, "a segment is read backwards")
        _ = try reader.remains()
        return batches
      }
    }
  }

  /// One frame, at a place and under a nonce that the input names.
  static let journalFrame = FuzzTarget(
    name: "journal-frame", mostBytes: 2048,
    seeds: { golden in
      try ["journal", "journal-one-shot", "log-1", "log-2"].flatMap { name in
        try golden.frames(name).flatMap { frame in
          FuzzMode.combinations.map { [$0.rawValue] + frame }
        }
      }
    },
    run: { input in
      guard let (mode, rest) = takeMode(input), rest.count <= 1 << 16 else { return }
      attackFrame(Array(rest), mode)
    })

  private static func attackFrame(_ frame: [UInt8], _ mode: FuzzMode) {
    // The frame stands in the first block of a file, or a block later.
    let offset = mode.rawValue & 8 == 0 ? 0 : Block.size
    let nonce: UInt64 = 0x1006
    var repair = Repair(
      file: [UInt8](repeating: 0, count: offset) + frame, mode: mode)
    if mode.contains(.repairsChecksums) {
      let previous = repair.integer(UInt32.self, at: offset + 36)
      _ = repair.frames(from: offset, nonce: nonce, previous: previous)
    }
    let file = repair.file
    var scanner = FrameScanner(FixedFile(file, path: "/frame"), nonce: nonce)
    refusable {
      guard let header = try scanner.header(at: Int64(offset)) else { return }
      demand(header.end > header.offset, "a frame ends before it begins")
      let (bytes, checksum) = FrameHeader.encode(
        kind: header.kind, endsSegment: header.endsSegment, offset: header.offset, nonce: nonce,
        previous: header.previous, first: header.first, count: header.count,
        sections: header.sections)
      let again = bytes.withUnsafeBytes {
        FrameHeader.decode($0, at: header.offset, nonce: nonce)
      }
      demand(again?.checksum == checksum, "a frame header is not decoded again")
      demand(again?.sections == header.sections, "a frame's sections are decoded as others")
      demand(again?.length == header.length && again?.count == header.count, "lengths differ")
      let whole = try scanner.isWhole(header)
      demand(!whole || header.offset + header.length <= file.count, "whole, and not all there")
      for section in header.sections {
        let stored = try scanner.stored(section, of: header)
        demand(!whole || stored != nil, "a whole frame lacks a section")
        guard let id = SectionID(rawValue: section.id), header.section(id) == section else {
          continue
        }
        let raw = try scanner.section(id, of: header, limit: Int64(Limits.journalFrameBytes))
        if let raw { demand(raw.count == section.rawBytes, "a section has another size") }
      }
    }
  }

  static let batch = FuzzTarget(
    name: "batch", mostBytes: 1024,
    seeds: { golden in try golden.batches() + [try withSettings.encoded()] },
    run: { input in attackBatch(Array(input)) })

  private static let withSettings = Batch(
    [Batch.Statement("DROP TABLE t"), Batch.Statement("INSERT INTO t VALUES (?)", [1])],
    switches: [
      SettingSwitch(.foreignKeys, on: false, beforeStatement: 0),
      SettingSwitch(.legacyAlterTable, on: true, beforeStatement: 0),
      SettingSwitch(.foreignKeys, on: true, beforeStatement: 1),
    ], foreignKeyCheck: .all)
}

/// What must hold of a batch's bytes, also where they come from a frame.
func attackBatch(_ bytes: [UInt8]) {
  refusable {
    let encoded = try bytes.withUnsafeBytes { try walk($0) }
    guard let batch = try? bytes.withUnsafeBytes({ try Batch(decoding: $0) }) else {
      demand(encoded == nil, "the applier executes a batch that cannot be decoded")
      return
    }
    guard let encoded else { broken("a batch is decoded that the applier refuses") }
    demand(encoded.key == batch.key, "a batch has two keys")
    demand(batch.guards.allSatisfy { $0.rows.count == 1 }, "a guard without its row")
    // Encoded it may be over a limit: text that is no UTF-8 gets longer when it is repaired.
    guard let again = try? batch.encoded() else { return }
    let second = must("decoding what was encoded") {
      try again.withUnsafeBytes { try Batch(decoding: $0) }
    }
    demand(try second.encoded() == again, "a batch is decoded as another")
  }
}

/// Reads a batch as the applier does, which binds values without copying them; nil where it refuses
/// the values.
private func walk(_ bytes: UnsafeRawBufferPointer) throws -> EncodedBatch? {
  let batch = try EncodedBatch(bytes)
  for statement in batch.guards + batch.statements {
    var values = statement.values
    for _ in 0..<statement.rows * statement.columns {
      guard (try? values.encodedValue()) != nil else { return nil }
    }
    guard values.isAtEnd else { return nil }
  }
  return batch
}
