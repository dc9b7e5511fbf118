internal import SluiceJournal
internal import SluiceShared

// A commit on its way from the worker to the applier, which writes it into the log:
//
//   part 0   Done: u32 batches, u32 of them new, u8 whether the next is to be alone, u8 whether
//            the batches are those of the frame, u8 whether the last asked for the turn, u8 whether room lacked
//            and then i64 for which batch (-1: the commit) and why; i64 bytes of pages that are in a scratch
//            file (passed by itself)
//   part 1   u64 first TxID, u32 count, meta
//   part 2   index       part 3   outcomes     part 4   consumed     part 5   pruned writers
//   part 6   u8 codec, i64 raw bytes of the batches section          part 7   its stored bytes, unless they
//            are those of the frame
//   part 8   pages, where they are in memory

extension CommitContent {
  func parts(_ done: Session.Done) -> [[UInt8]] {
    var end = ByteWriter(reserving: 32)
    done.append(to: &end)
    var stored: [UInt8] = []
    switch pages {
    case .memory(let bytes):
      end.append(Int64(0))
      stored = bytes
    case .scratch(_, let bytes): end.append(bytes)
    }
    var head = ByteWriter(reserving: 96)
    head.append(first.rawValue)
    head.append(count)
    head.append(raw: meta.encoded())
    var pruned = ByteWriter(reserving: 8 + self.pruned.count * 16)
    pruned.append(varint: UInt64(self.pruned.count))
    for writer in self.pruned { pruned.append(writer) }
    var section = ByteWriter(reserving: 16)
    section.append(batches.codec.rawValue)
    section.append(batches.rawBytes)
    return [
      end.bytes, head.bytes, PageEntry.encode(entries), outcomes, consumed, pruned.bytes,
      section.bytes, done.sharesFrame ? [] : batches.stored, stored,
    ]
  }

  /// nil where the parts are none of a commit.
  init?(
    _ parts: [[UInt8]], scratch: (any File)?, _ scratchBytes: Int64, frame: SectionContent?
  ) {
    guard parts.count == 9 else { return nil }
    do throws(DecodingError) {
      let head = try parts[1].read { (reader) throws(DecodingError) in
        (
          first: TxID(try reader.integer()), count: try reader.integer(UInt32.self),
          meta: try CommitMeta(decoding: Array(try reader.take(reader.remaining)))
        )
      }
      let pruned = try parts[5].read { (reader) throws(DecodingError) -> [WriterID] in
        var ids: [WriterID] = []
        for _ in 0..<(try reader.count(ofAtLeast: 16)) { ids.append(try reader.identifier()) }
        return ids
      }
      let section = try parts[6].read { (reader) throws(DecodingError) in
        (codec: Codec(rawValue: try reader.integer()), rawBytes: try reader.integer(Int64.self))
      }
      guard let codec = section.codec, head.count > 0 else { return nil }
      var batches = SectionContent(.batches, raw: parts[7])
      batches.codec = codec
      batches.rawBytes = section.rawBytes
      if let frame { batches = frame }
      self.init(
        first: head.first, count: head.count, meta: head.meta,
        entries: try PageEntry.decode(parts[2], base: 0), outcomes: parts[3], consumed: parts[4],
        pages: scratch.map { .scratch($0, bytes: scratchBytes) } ?? .memory(parts[8]),
        batches: batches, pruned: pruned)
    } catch {
      return nil
    }
  }
}

extension [UInt8] {
  func read<R>(_ body: (inout ByteReader) throws(DecodingError) -> R) throws(DecodingError) -> R {
    let result = withUnsafeBytes { raw -> Result<R, DecodingError> in
      var reader = ByteReader(raw)
      do throws(DecodingError) { return .success(try body(&reader)) } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }
}

extension Session.Done {
  func append(to writer: inout ByteWriter) {
    writer.append(UInt32(count))
    writer.append(committed)
    writer.append(UInt8(nextIsAlone ? 1 : 0))
    writer.append(UInt8(sharesFrame ? 1 : 0))
    writer.append(UInt8(grantsTurn ? 1 : 0))
    writer.append(UInt8(lack == nil ? 0 : 1))
    guard let lack else { return }
    writer.append(Int64(lack.index ?? -1))
    writer.append(counted: lack.message)
  }

  init(from reader: inout ByteReader) throws(DecodingError) {
    self.init(
      count: Int(try reader.integer(UInt32.self)), committed: try reader.integer(),
      nextIsAlone: try reader.flag(), sharesFrame: try reader.flag(),
      grantsTurn: try reader.flag())
    guard try reader.flag() else { return }
    let index = Int(try reader.integer(Int64.self))
    lack = Session.Lack(index: index < 0 ? nil : index, message: try reader.text())
  }
}

extension Session.Settings {
  func append(to writer: inout ByteWriter) {
    writer.append(UInt8(foreignKeys ? 1 : 0))
    writer.append(scratchBytes)
    writer.append(Int64(cacheBytes))
    writer.append(stepsPerBatch)
    writer.append(counted: transactions.description)
  }

  init(from reader: inout ByteReader) throws(DecodingError) {
    foreignKeys = try reader.flag()
    scratchBytes = try reader.integer()
    cacheBytes = Int(try reader.integer(Int64.self))
    stepsPerBatch = try reader.integer()
    transactions = TransactionRight(try reader.text()) ?? .none
    beforeBatch = nil
  }
}
