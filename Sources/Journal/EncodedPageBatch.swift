package import SluiceShared

/// A step of an interactive transaction as it lies in a buffer.
package enum EncodedTransactionStep {
  case requestTurn
  case cancelTurn
  case commit(EncodedPageBatch)

  init(_ tag: UInt64, _ content: UnsafeRawBufferPointer) throws(DecodingError) {
    guard tag == BatchField.turn else {
      self = .commit(try EncodedPageBatch(content, inParts: tag == BatchField.parts))
      return
    }
    switch content.count == 1 ? content[0] : 0 {
    case 1: self = .requestTurn
    case 2: self = .cancelTurn
    default: throw DecodingError("neither a request for the turn nor its end")
    }
  }
}

extension TransactionStep {
  init(_ encoded: EncodedTransactionStep) {
    switch encoded {
    case .requestTurn: self = .requestTurn
    case .cancelTurn: self = .cancelTurn
    case .commit(let pages): self = .commit(pages.copied)
    }
  }
}

/// A page batch as it lies in a buffer: nothing of it is decompressed, valid as long as the buffer.
package struct EncodedPageBatch {
  package let base: TxID
  package let turn: TxID?
  package let pageSize: Int
  package let pageCount: UInt32
  /// How many pages it changes.
  package let changed: Int
  /// What has its pages, where they are not here.
  package let parts: [PagePart]
  /// Ascending; none where it comes in parts.
  private let chunks: [Chunk]
  private let encodedChunks: UnsafeRawBufferPointer

  private struct Chunk {
    /// Each with whether it is an XOR with the base's.
    var numbers: [(page: UInt32, isXOR: Bool)]
    var crc: UInt32
    var codec: Codec
    var stored: UnsafeRawBufferPointer
  }

  init(_ content: UnsafeRawBufferPointer, inParts: Bool = false) throws(DecodingError) {
    var reader = ByteReader(content)
    base = TxID(try reader.varint())
    let turn = try reader.varint()
    self.turn = turn == 0 ? nil : TxID(turn)
    let size = try reader.varint()
    let count = try reader.varint()
    guard size <= 65_536, PageBatch.pageSizes.contains(Int(size)), count > 0,
      count < UInt64(UInt32.max), base.rawValue < UInt64(Int64.max), turn < UInt64(Int64.max)
    else { throw DecodingError("\(count) pages of \(size) bytes after batch \(base)") }
    (pageSize, pageCount) = (Int(size), UInt32(count))
    let rest = UnsafeRawBufferPointer(rebasing: content[reader.position...])
    guard !inParts else {
      let changed = try reader.varint()
      guard changed > 0, changed <= UInt64(Limits.transactionBytes) / size else {
        throw DecodingError("\(changed) changed pages of \(size) bytes")
      }
      parts = try PagePart.list(&reader)
      (self.changed, chunks) = (Int(changed), [])
      encodedChunks = UnsafeRawBufferPointer(rebasing: rest[..<0])
      return
    }
    encodedChunks = rest
    parts = []
    var last: UInt32 = 0
    (chunks, changed) = try EncodedPageBatch.chunks(rest, pageSize, pageCount, after: &last)
  }

  /// The chunks in `content`, whose first page comes behind page `last`, which is their last one then.
  private static func chunks(
    _ content: UnsafeRawBufferPointer, _ pageSize: Int, _ pageCount: UInt32,
    after last: inout UInt32
  ) throws(DecodingError) -> ([Chunk], Int) {
    var reader = ByteReader(content)
    var chunks: [Chunk] = []
    var changed = 0
    let isFirst = last == 0
    while !reader.isAtEnd {
      let count = try reader.varint()
      if count == 0 { break }
      guard count <= UInt64(max(1, PageBatch.chunkBytes / pageSize)) else {
        throw DecodingError("\(count) pages in one chunk")
      }
      let numbers = try numbers(&reader, Int(count), pageSize, pageCount, after: &last)
      changed += Int(count)
      let crc: UInt32 = try reader.integer()
      guard let codec = Codec(rawValue: try reader.integer()) else {
        throw DecodingError("unknown codec of pages")
      }
      chunks.append(
        Chunk(numbers: numbers, crc: crc, codec: codec, stored: try reader.counted()))
    }
    let bytes = Int64(changed) * Int64(pageSize)
    guard bytes <= Limits.transactionBytes else {
      throw DecodingError("over \(Limits.transactionBytes) bytes of pages")
    }
    guard PageBatch.leastBytes(ofPages: bytes) <= Int64(content.count) else {
      throw DecodingError("\(changed) pages in \(content.count) bytes")
    }
    guard !isFirst || chunks.first?.numbers.first?.page == 1 else {
      throw DecodingError("page 1 is missing")
    }
    return (chunks, changed)
  }

  private static func numbers(
    _ reader: inout ByteReader, _ count: Int, _ pageSize: Int, _ pageCount: UInt32,
    after last: inout UInt32
  ) throws(DecodingError) -> [(page: UInt32, isXOR: Bool)] {
    var numbers: [(page: UInt32, isXOR: Bool)] = []
    for _ in 0..<count {
      let tag = try reader.varint()
      guard tag > 1, tag >> 1 <= UInt64(pageCount - last) else {
        throw DecodingError("a page behind page \(last) of \(pageCount)")
      }
      last += UInt32(tag >> 1)
      guard last != DatabaseChecksum.lockBytePage(pageSize: pageSize) else {
        throw DecodingError("the lock-byte page")
      }
      numbers.append((last, tag & 1 == 1))
    }
    return numbers
  }

  /// The changed pages' numbers, ascending; none where it comes in parts.
  package var numbers: [UInt32] { chunks.flatMap { $0.numbers.map(\.page) } }

  var copied: PageBatch {
    PageBatch(
      base: base, turn: turn, pageSize: pageSize, pageCount: pageCount, changed: changed,
      chunks: Array(encodedChunks), parts: parts.isEmpty ? nil : PageParts(parts, in: nil))
  }

  /// Why its pages could not be had.
  package enum Failure: Error {
    case malformed(DecodingError)
    case store(StoreError)
  }

  /// Calls `body` for each page as it is to be, ascending; `before` fills in the page of the base. Memory:
  /// 2 MiB, and a part.
  ///
  /// `part` has the bytes of the part at an index; nil: there is none. `checksSum` and `checksParts`: whether
  /// pages and parts are held against their checksums, as always but for tests.
  package func forEachPage(
    checksSum: Bool = true, checksParts: Bool = true,
    part: (Int) throws(StoreError) -> [UInt8]? = { _ in nil },
    over before: (UInt32, UnsafeMutableRawBufferPointer) throws(StoreError) -> Void,
    _ body: (UInt32, UnsafeRawBufferPointer) throws(StoreError) -> Void
  ) throws(Failure) {
    let decompressor = Decompressor()
    for chunk in chunks { try forEachPage(of: chunk, decompressor, checksSum, before, body) }
    guard !parts.isEmpty else { return }
    var last: UInt32 = 0
    var found = 0
    for (index, named) in parts.enumerated() {
      let bytes = try content(ofPart: index, named, checks: checksParts, part)
      let result: Result<Void, Failure> = bytes.withUnsafeBytes { raw in
        Result { () throws(Failure) in
          let chunks: [Chunk]
          do throws(DecodingError) {
            let (decoded, count) = try Self.chunks(raw, pageSize, pageCount, after: &last)
            chunks = decoded
            found += count
            guard found <= changed || !checksParts else {
              throw DecodingError("its parts have more than the \(changed) pages that it says")
            }
          } catch {
            throw .malformed(error)
          }
          for chunk in chunks { try forEachPage(of: chunk, decompressor, checksSum, before, body) }
        }
      }
      try result.get()
    }
    guard checksParts else { return }
    guard found == changed else {
      throw .malformed(DecodingError("its parts have \(found) pages, and it says \(changed)"))
    }
    guard try bytes(ofPart: parts.count, part) == nil else {
      throw .malformed(DecodingError("there are more parts than the \(parts.count) that it names"))
    }
  }

  private func bytes(ofPart index: Int, _ part: (Int) throws(StoreError) -> [UInt8]?)
    throws(Failure) -> [UInt8]?
  {
    do throws(StoreError) { return try part(index) } catch { throw .store(error) }
  }

  private func content(
    ofPart index: Int, _ named: PagePart, checks: Bool,
    _ part: (Int) throws(StoreError) -> [UInt8]?
  ) throws(Failure) -> [UInt8] {
    guard let bytes = try bytes(ofPart: index, part) else {
      guard checks else { return [] }
      throw .malformed(DecodingError("part \(index + 1) of \(parts.count) is not there"))
    }
    guard bytes.count == named.bytes && crc32c(bytes) == named.crc || !checks else {
      throw .malformed(
        DecodingError("part \(index + 1) of \(parts.count) is not the one that it names"))
    }
    return bytes
  }

  private func forEachPage(
    of chunk: Chunk, _ decompressor: Decompressor, _ checksSum: Bool,
    _ before: (UInt32, UnsafeMutableRawBufferPointer) throws(StoreError) -> Void,
    _ body: (UInt32, UnsafeRawBufferPointer) throws(StoreError) -> Void
  ) throws(Failure) {
    let page = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize, alignment: 64)
    defer { page.deallocate() }
    let content = try content(of: chunk, decompressor)
    var crc: UInt32 = 0
    for (index, (number, isXOR)) in chunk.numbers.enumerated() {
      let start = index * pageSize
      do throws(StoreError) {
        if isXOR {
          try before(number, page)
          for i in 0..<pageSize { page[i] ^= content[start + i] }
        } else {
          for i in 0..<pageSize { page[i] = content[start + i] }
        }
        crc = crc32c(UnsafeRawBufferPointer(page), continuing: crc)
        try body(number, UnsafeRawBufferPointer(page))
      } catch {
        throw .store(error)
      }
    }
    guard crc == chunk.crc || !checksSum else {
      throw .malformed(DecodingError("over their base its pages are not what their checksum says"))
    }
  }

  private func content(of chunk: Chunk, _ decompressor: Decompressor) throws(Failure) -> [UInt8] {
    let bytes = chunk.numbers.count * pageSize
    switch chunk.codec {
    case .raw where chunk.stored.count == bytes: return Array(chunk.stored)
    case .zstd:
      if let content = decompressor.decompress(chunk.stored, count: bytes) { return content }
    case .raw: break
    }
    throw .malformed(DecodingError("its pages cannot be decompressed"))
  }
}
