package import SluiceShared

// The sections of a commit frame, in this order. `first` and `count` of the frame header are its
// first TxID and how many.
//
// meta (72 bytes)
//    0 8 commit number, from 1      8 8 time, Unix milliseconds    16 16 entropy
//   32 4 page size                 36 4 database size in pages     40 8 database checksum
//   48 8 rejected since the store was made                          56 16 zero
// index: an entry a changed page, ascending
//    0 4 page, from 1   4 4 stored bytes (page size: as it is, less: zstd)   8 4 CRC-32C of the page
//   12 8 offset: in a commit frame from the start of its pages section, in a merged index from the
//        start of the segment
// outcomes: varint writers, their ids; then in TxID order each batch: varint writer, varint sequence,
//   varint attempts, u8 with key, key as counted UTF-8, then the outcome
// consumed: varint count, each: writer id, u64 segment number, u64 offset consumed through
// pruned: the ids of the writers forgotten, only where there are any
// pages: their stored bytes, one after the other
// batches: as in a journal frame, in execution order

package struct CommitMeta: Hashable, Sendable {
  package var commit: UInt64
  /// The commit's time, which is 'now' for its batches; never going back.
  package var time_ms: Int64
  /// Seeds `random()` and `randomblob()` for its batches.
  package var entropy: Identifier128
  package var pageSize: UInt32
  /// The database's size after the commit.
  package var pageCount: UInt32
  package var checksum: DatabaseChecksum
  package var rejected: UInt64

  package init(
    commit: UInt64, time_ms: Int64, entropy: Identifier128, pageSize: UInt32, pageCount: UInt32,
    checksum: DatabaseChecksum, rejected: UInt64
  ) {
    self.commit = commit
    self.time_ms = time_ms
    self.entropy = entropy
    self.pageSize = pageSize
    self.pageCount = pageCount
    self.checksum = checksum
    self.rejected = rejected
  }

  static let bytes = 72

  package func encoded() -> [UInt8] {
    var writer = ByteWriter(reserving: CommitMeta.bytes)
    writer.append(commit)
    writer.append(time_ms)
    writer.append(entropy)
    writer.append(pageSize)
    writer.append(pageCount)
    writer.append(checksum.value)
    writer.append(rejected)
    writer.append(raw: [UInt8](repeating: 0, count: 16))
    return writer.bytes
  }

  package init(decoding bytes: [UInt8]) throws(DecodingError) {
    var result: Result<CommitMeta, DecodingError> = .failure(DecodingError("empty"))
    bytes.withUnsafeBytes { raw in
      var reader = ByteReader(raw)
      do throws(DecodingError) {
        let meta = CommitMeta(
          commit: try reader.integer(), time_ms: try reader.integer(),
          entropy: try reader.identifier(), pageSize: try reader.integer(),
          pageCount: try reader.integer(), checksum: DatabaseChecksum(try reader.integer()),
          rejected: try reader.integer())
        guard PageBatch.pageSizes.contains(Int(meta.pageSize)) else {
          throw DecodingError("pages of \(meta.pageSize) bytes")
        }
        guard LogExtent(txid: .zero, commits: meta.commit, time_ms: meta.time_ms).isSound else {
          throw DecodingError("its number or its time cannot be meant")
        }
        result = .success(meta)
      } catch {
        result = .failure(error)
      }
    }
    self = try result.get()
  }
}

/// Where one changed page lies, and its checksum.
package struct PageEntry: Hashable, Sendable {
  /// From 1.
  package var page: UInt32
  package var storedBytes: UInt32
  package var crc: UInt32
  package var offset: Int64

  package init(page: UInt32, storedBytes: UInt32, crc: UInt32, offset: Int64) {
    self.page = page
    self.storedBytes = storedBytes
    self.crc = crc
    self.offset = offset
  }

  package static let bytes = 20

  package static func encode(_ entries: [PageEntry]) -> [UInt8] {
    var writer = ByteWriter(reserving: entries.count * bytes)
    for entry in entries {
      writer.append(entry.page)
      writer.append(entry.storedBytes)
      writer.append(entry.crc)
      writer.append(entry.offset)
    }
    return writer.bytes
  }

  /// The entries, their offsets counted from `base`; throws unless the pages ascend.
  package static func decode(_ bytes: [UInt8], base: Int64) throws(DecodingError) -> [PageEntry] {
    guard bytes.count % Self.bytes == 0 else { throw DecodingError("the page index is cut off") }
    var entries: [PageEntry] = []
    entries.reserveCapacity(bytes.count / Self.bytes)
    var ascending = true
    bytes.withUnsafeBytes { raw in
      var previous: UInt32 = 0
      for start in stride(from: 0, to: raw.count, by: Self.bytes) {
        let page = UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: start, as: UInt32.self))
        ascending = ascending && page > previous
        previous = page
        let offset = Int64(
          littleEndian: raw.loadUnaligned(fromByteOffset: start + 12, as: Int64.self))
        ascending = ascending && offset >= 0 && offset < Int64.max / 4
        entries.append(
          PageEntry(
            page: page,
            storedBytes: UInt32(
              littleEndian: raw.loadUnaligned(fromByteOffset: start + 4, as: UInt32.self)),
            crc: UInt32(
              littleEndian: raw.loadUnaligned(fromByteOffset: start + 8, as: UInt32.self)),
            offset: base &+ offset))
      }
    }
    guard ascending else { throw DecodingError("the page index is not in order") }
    return entries
  }
}

/// One batch's outcome in the order of TxIDs.
public struct BatchOutcome: Hashable, Sendable {
  package var batch: BatchID
  public var key: String?
  /// How often its execution began in terms that ended while it ran.
  public var attempts: UInt32
  public var outcome: Outcome

  package init(batch: BatchID, key: String?, attempts: UInt32, outcome: Outcome) {
    self.batch = batch
    self.key = key
    self.attempts = attempts
    self.outcome = outcome
  }

  package static func encode(_ outcomes: [BatchOutcome]) -> [UInt8] {
    var writer = ByteWriter(reserving: outcomes.count * 16)
    var writers: [WriterID: Int] = [:]
    var order: [WriterID] = []
    for outcome in outcomes where writers[outcome.batch.writer] == nil {
      writers[outcome.batch.writer] = order.count
      order.append(outcome.batch.writer)
    }
    writer.append(varint: UInt64(order.count))
    for id in order { writer.append(id) }
    for outcome in outcomes {
      writer.append(varint: UInt64(writers[outcome.batch.writer] ?? 0))
      writer.append(varint: outcome.batch.sequence.rawValue)
      writer.append(varint: UInt64(outcome.attempts))
      writer.append(UInt8(outcome.key == nil ? 0 : 1))
      if let key = outcome.key { writer.append(counted: key) }
      outcome.outcome.encode(to: &writer)
    }
    return writer.bytes
  }

  package static func decode(_ bytes: [UInt8], count: UInt32) throws(DecodingError)
    -> [BatchOutcome]
  {
    var result: Result<[BatchOutcome], DecodingError> = .success([])
    bytes.withUnsafeBytes { raw in
      do throws(DecodingError) { result = .success(try decode(raw, count: count)) } catch {
        result = .failure(error)
      }
    }
    return try result.get()
  }

  private static func decode(_ bytes: UnsafeRawBufferPointer, count: UInt32) throws(DecodingError)
    -> [BatchOutcome]
  {
    var reader = ByteReader(bytes)
    var writers: [WriterID] = []
    for _ in 0..<(try reader.count(ofAtLeast: 16)) { writers.append(try reader.identifier()) }
    var outcomes: [BatchOutcome] = []
    for _ in 0..<count {
      let writer = try reader.varint()
      guard writer < UInt64(writers.count) else { throw DecodingError("no writer \(writer)") }
      let sequence = SequenceNumber(try reader.varint())
      let attempts = UInt32(truncatingIfNeeded: try reader.varint())
      let key = try reader.integer(UInt8.self) == 0 ? nil : try reader.text()
      outcomes.append(
        BatchOutcome(
          batch: BatchID(writer: writers[Int(writer)], sequence: sequence), key: key,
          attempts: attempts, outcome: try Outcome(from: &reader)))
    }
    return outcomes
  }
}

/// How far one journal segment's content is in the history.
package struct ConsumedThrough: Hashable, Sendable {
  package var segment: JournalSegmentID
  package var offset: Int64

  package init(segment: JournalSegmentID, offset: Int64) {
    self.segment = segment
    self.offset = offset
  }

  package static func encode(_ list: [ConsumedThrough]) -> [UInt8] {
    var writer = ByteWriter(reserving: list.count * 32 + 4)
    writer.append(varint: UInt64(list.count))
    for consumed in list {
      writer.append(consumed.segment.writer)
      writer.append(consumed.segment.number)
      writer.append(consumed.offset)
    }
    return writer.bytes
  }

  package static func decode(_ bytes: [UInt8]) throws(DecodingError) -> [ConsumedThrough] {
    var result: Result<[ConsumedThrough], DecodingError> = .success([])
    bytes.withUnsafeBytes { raw in
      var reader = ByteReader(raw)
      do throws(DecodingError) {
        var list: [ConsumedThrough] = []
        for _ in 0..<(try reader.count(ofAtLeast: 32)) {
          let writer = try reader.identifier()
          let number = try reader.integer(UInt64.self)
          list.append(
            ConsumedThrough(
              segment: JournalSegmentID(writer: writer, number: number),
              offset: try reader.integer()))
        }
        result = .success(list)
      } catch {
        result = .failure(error)
      }
    }
    return try result.get()
  }
}
