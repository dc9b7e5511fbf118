import SluiceShared

@testable import SluiceApplier
@testable import SluiceJournal

extension FuzzTarget {
  /// The sections of a commit frame and of a start frame; the first byte chooses.
  static let commitFrame = FuzzTarget(
    name: "commit-frame", mostBytes: 2048,
    seeds: { golden in try golden.sections() },
    run: { input in
      guard let choice = input.first else { return }
      let bytes = Array(input.dropFirst())
      refusable { try attackSection(choice, bytes) }
    })

  private static func attackSection(_ choice: UInt8, _ bytes: [UInt8]) throws {
    switch SectionID(rawValue: UInt16(choice & 15)) {
    case .batches:
      let count = Int(choice >> 4)
      for range in try BatchList.ranges(bytes, count: count) { attackBatch(Array(bytes[range])) }
    case .meta:
      let meta = try CommitMeta(decoding: bytes)
      demand(try CommitMeta(decoding: meta.encoded()) == meta, "a meta section changes")
    case .index:
      let entries = try PageEntry.decode(bytes, base: 0)
      demand(PageEntry.encode(entries) == bytes, "a page index changes")
      _ = try PageEntry.decode(bytes, base: .max / 4)
    case .outcomes:
      for count in [UInt32(choice >> 4), UInt32.max] {
        guard let outcomes = try? BatchOutcome.decode(bytes, count: count) else { continue }
        let again = BatchOutcome.encode(outcomes)
        let second = must("decoding encoded outcomes") {
          try BatchOutcome.decode(again, count: count)
        }
        // Compared as bytes, since NaN is not itself.
        demand(BatchOutcome.encode(second) == again, "outcomes change")
        demand(second.map(\.batch) == outcomes.map(\.batch), "outcomes are of other batches")
      }
    case .consumed:
      let list = try ConsumedThrough.decode(bytes)
      demand(try ConsumedThrough.decode(ConsumedThrough.encode(list)) == list, "consumed changes")
      demand(ConsumedThrough.encode(list).count <= bytes.count, "bytes come from nowhere")
    case .start:
      let record = try StartRecord(decoding: bytes)
      demand(try StartRecord(decoding: record.encoded()) == record, "a start record changes")
    case .segmentHeader:
      guard let (header, _) = LogSegmentHeader.decode(copied: bytes) else { return }
      demand(header.copied() == bytes, "a segment's header changes")
    case .pages, .pruned, .padding, .part, nil:
      let outcome = try Outcome(decoding: bytes)
      let again = outcome.encoded
      demand(try Outcome(decoding: again).encoded == again, "an outcome changes")
    }
  }

  static let beacon = FuzzTarget(
    name: "beacon", mostBytes: 4200,
    seeds: { golden in
      try golden.beacons().flatMap { beacon in [[0] + beacon, [1] + beacon] }
    },
    run: { input in
      guard let (mode, rest) = takeMode(input) else { return }
      var block = Array(rest.prefix(Block.size))
      block += [UInt8](repeating: 0, count: Block.size - block.count)
      let nonce: UInt64 = 0x2001
      var repair = Repair(file: block, mode: mode)
      if mode.contains(.repairsChecksums) { repair.seal(0, seed: nonce) }
      attackBeacon(repair.file, nonce)
    })

  private static func attackBeacon(_ block: [UInt8], _ nonce: UInt64) {
    guard let beacon = block.withUnsafeBytes({ Beacon.decode($0, segment: 1, nonce: nonce) })
    else { return }
    let position = beacon.position
    demand(
      Block.firstLogFrame <= position.startFrame && position.startFrame <= position.lastFrame
        && position.lastFrame < position.end, "a beacon publishes no place")
    let again = beacon.encoded()
    let second = again.withUnsafeBytes { Beacon.decode($0, segment: 1, nonce: nonce) }
    demand(second == beacon, "a beacon is decoded as another")
    // The next beacon, and whoever takes over, count on from what it says.
    var status = ApplierStatus(
      after: beacon, survived: beacon.status.executing.suffix(1), .posix())
    if let first = status.attempts.first {
      status.begin([first.batch], ends: first.ends)
      status.finish([first.batch])
    }
    demand(beacon.counter < .max && beacon.extent.txid.next > beacon.extent.txid, "no next one")
  }

  /// Any byte closes; and a mark says who did it.
  static let mark = FuzzTarget(
    name: "mark", mostBytes: 4200,
    seeds: { golden in [[], [0], Array(try golden.file("log-1")[0..<64])] },
    run: { input in attackMark(input) })

  private static func attackMark(_ input: UnsafeRawBufferPointer) {
    let block = Array(input.prefix(Block.size))
    let padded = block + [UInt8](repeating: 0, count: Block.size - block.count)
    let isZero = !block.contains { $0 != 0 }
    for content in [padded, padded + [1]] {
      let closed = must("reading a mark") { try Mark.isClosed(FixedFile(content, path: "/m")) }
      demand(closed == !isZero, "a mark is not read as it is")
    }
    let short = must("reading a mark") { try Mark.isClosed(FixedFile(block, path: "/m")) }
    demand(short == (block.count < Block.size || !isZero), "a short file is not closed")
    let name = String(decoding: input, as: UTF8.self)
    let file = RecordingFile()
    must("writing a mark") { try Mark.write(to: file, by: name, time_ms: .max) }
    demand(file.written.count == Block.size && file.offset == 0, "a mark is one block")
    demand(
      try Mark.isClosed(FixedFile(file.written, path: "/m")), "a mark that was written is none")
  }
}

/// Keeps what is written to it.
private final class RecordingFile: File, @unchecked Sendable {
  // Sendable: used by one thread.
  let path = "/mark"
  var written: [UInt8] = []
  var offset: Int64 = -1

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  { 0 }
  func read(
    into first: UnsafeMutableRawBufferPointer, at offset: Int64,
    and second: UnsafeMutableRawBufferPointer, at secondOffset: Int64
  ) throws(StoreError) -> (Int, Int) { (0, 0) }
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
    written = Array(bytes)
    self.offset = offset
  }
  func beginWriteback(_ count: Int, at offset: Int64) {}
  func sync() throws(StoreError) {}
  func nextData(from offset: Int64) throws(StoreError) -> Int64? { offset }
  func resize(to size: Int64) throws(StoreError) {}
  func status() throws(StoreError) -> FileStatus { FixedFiles.status(.regular, written.count) }
  func freshStatus() throws(StoreError) -> FileStatus { try status() }
}
