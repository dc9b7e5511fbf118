public import SluiceShared

/// A step of an interactive transaction as it lies in a buffer.
public enum EncodedTransactionStep {
  case requestTurn
  case cancelTurn
  case commit(EncodedPageBatch)

  init(_ tag: UInt64, _ content: UnsafeRawBufferPointer) throws(DecodingError) {
    guard tag == BatchField.turn else {
      self = .commit(try EncodedPageBatch(content))
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
public struct EncodedPageBatch {
  public let base: TxID
  public let turn: TxID?
  public let pageSize: Int
  public let pageCount: UInt32
  /// How many pages it changes.
  public let changed: Int
  /// Ascending.
  private let chunks: [Chunk]
  private let encodedChunks: UnsafeRawBufferPointer

  private struct Chunk {
    /// Each with whether it is an XOR with the base's.
    var numbers: [(page: UInt32, isXOR: Bool)]
    var crc: UInt32
    var codec: Codec
    var stored: UnsafeRawBufferPointer
  }

  init(_ content: UnsafeRawBufferPointer) throws(DecodingError) {
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
    encodedChunks = UnsafeRawBufferPointer(rebasing: content[reader.position...])
    (chunks, changed) = try EncodedPageBatch.chunks(&reader, Int(size), UInt32(count))
    let stored = Int64(content.count)
    guard PageBatch.leastBytes(ofPages: Int64(changed) * Int64(size)) <= stored else {
      throw DecodingError("\(changed) pages in \(stored) bytes")
    }
  }

  private static func chunks(_ reader: inout ByteReader, _ pageSize: Int, _ pageCount: UInt32)
    throws(DecodingError) -> ([Chunk], Int)
  {
    var chunks: [Chunk] = []
    var (last, changed) = (UInt64(0), 0)
    let lockByte = DatabaseChecksum.lockBytePage(pageSize: pageSize)
    while !reader.isAtEnd {
      let count = try reader.varint()
      if count == 0 { break }
      guard count <= UInt64(max(1, PageBatch.chunkBytes / pageSize)) else {
        throw DecodingError("\(count) pages in one chunk")
      }
      var numbers: [(page: UInt32, isXOR: Bool)] = []
      for _ in 0..<count {
        let tag = try reader.varint()
        guard tag > 1, tag >> 1 <= UInt64(pageCount) - last else {
          throw DecodingError("a page behind page \(last) of \(pageCount)")
        }
        last += tag >> 1
        guard last != UInt64(lockByte) else { throw DecodingError("the lock-byte page") }
        numbers.append((UInt32(last), tag & 1 == 1))
      }
      changed += Int(count)
      let crc: UInt32 = try reader.integer()
      guard let codec = Codec(rawValue: try reader.integer()) else {
        throw DecodingError("unknown codec of pages")
      }
      chunks.append(
        Chunk(numbers: numbers, crc: crc, codec: codec, stored: try reader.counted()))
    }
    guard Int64(changed) * Int64(pageSize) <= Limits.transactionBytes else {
      throw DecodingError("over \(Limits.transactionBytes) bytes of pages")
    }
    guard chunks.first?.numbers.first?.page == 1 else { throw DecodingError("page 1 is missing") }
    return (chunks, changed)
  }

  /// The changed pages' numbers, ascending.
  public var numbers: [UInt32] { chunks.flatMap { $0.numbers.map(\.page) } }

  var copied: PageBatch {
    PageBatch(
      base: base, turn: turn, pageSize: pageSize, pageCount: pageCount, changed: changed,
      chunks: Array(encodedChunks))
  }

  /// Why its pages could not be had.
  public enum Failure: Error {
    case malformed(DecodingError)
    case store(StoreError)
  }

  /// Calls `body` for each page as it is to be, ascending; `before` fills in the page of the base. Memory:
  /// 2 MiB.
  ///
  /// `checksSum`: whether they are held against their checksum, as always but for tests.
  public func forEachPage(
    checksSum: Bool = true,
    over before: (UInt32, UnsafeMutableRawBufferPointer) throws(StoreError) -> Void,
    _ body: (UInt32, UnsafeRawBufferPointer) throws(StoreError) -> Void
  ) throws(Failure) {
    let decompressor = Decompressor()
    let page = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize, alignment: 64)
    defer { page.deallocate() }
    for chunk in chunks {
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
        throw .malformed(
          DecodingError("over their base its pages are not what their checksum says"))
      }
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
