package import SluiceShared

// The content of a batch's field 7, `pages`:
//
//   varint base TxID, varint number of the turn (0: without one), varint page size,
//   varint pages of the database after it, then chunks, each of at most 1 MiB of pages, one at least:
//     varint how many pages (0: nothing but zeros follows)
//     for each: varint (number − number of the page before, or 0) << 1 | whether it is an XOR
//     u32 CRC-32C of these pages as they are to be
//     u8 codec, varint length, bytes: the pages one behind the other, or what makes them of the base's
//
// Numbers ascend over all chunks; page 1 is always there, and SQLite's lock-byte page never. A page that
// equals the base's is left out. There is one byte for each 128 of pages at least, over the first 512 KiB:
// zeros where they compress to less.
//
// What takes more than some MiB comes in parts, of which each lies in an empty frame before the batch's (see
// PagePart.swift). The batch has field 9, `parts`, then: the same four numbers, varint how many pages are
// changed, and for each part varint bytes, u32 CRC-32C.

/// The pages that an interactive transaction changed, and the state that it read.
///
/// It is accepted if and only if that state is still the newest one. Made by `PageBatchEncoder`.
package struct PageBatch: Hashable, Sendable {
  /// The last batch of the snapshot that the transaction ran on.
  package let base: TxID
  /// The number of the turn that it commits in; nil: without one.
  package let turn: TxID?
  /// Bytes of a page.
  package let pageSize: Int
  /// Pages of the database after it.
  package let pageCount: UInt32
  /// How many of them it changes.
  package let changed: Int
  package let chunks: [UInt8]
  /// What has the chunks, where there are too many for one batch; `chunks` is empty then.
  package let parts: PageParts?

  package init(
    base: TxID, turn: TxID?, pageSize: Int, pageCount: UInt32, changed: Int, chunks: [UInt8],
    parts: PageParts? = nil
  ) {
    self.base = base
    self.turn = turn
    self.pageSize = pageSize
    self.pageCount = pageCount
    self.changed = changed
    self.chunks = chunks
    self.parts = parts
  }

  func encode(to writer: inout ByteWriter) {
    let head = [base.rawValue, turn?.rawValue ?? 0, UInt64(pageSize), UInt64(pageCount)]
    var content = ByteWriter(reserving: 32)
    for number in head { content.append(varint: number) }
    if let parts {
      content.append(varint: UInt64(changed))
      for part in parts.list { part.encode(to: &content) }
    }
    writer.append(varint: parts == nil ? BatchField.pages : BatchField.parts)
    writer.append(varint: UInt64(content.count + chunks.count))
    writer.append(raw: content.bytes)
    writer.append(raw: chunks)
  }

  static let chunkBytes = 1 << 20
  package static let pageSizes: Set<Int> = Set((9...16).map { 1 << $0 })

  /// So many bytes of pages take no byte of their own.
  static let freeBytes = Int64(Block.size * Limits.mostRawBytesPerStoredByte)

  static func leastBytes(ofPages bytes: Int64) -> Int64 {
    bytes <= freeBytes ? 0 : bytes / Int64(Limits.mostRawBytesPerStoredByte)
  }
}

/// What a batch is of an interactive transaction.
package enum TransactionStep: Hashable, Sendable {
  /// Asks for the turn. When it is applied the turn is granted: its TxID is the turn's number, and the state
  /// to begin on.
  case requestTurn
  /// Gives the turn back, or takes back what asked for it.
  case cancelTurn
  case commit(PageBatch)
}

/// Makes a `PageBatch`, page by page. Memory: what the pages compress to, and 1 MiB; with a scratch file for its
/// parts, about 10 MiB.
package struct PageBatchEncoder: ~Copyable {
  private let base: TxID
  private let turn: TxID?
  private let pageSize: Int
  private let pageCount: UInt32
  private let compressor = Compressor()
  private var chunks = ByteWriter()
  private var tags = ByteWriter()
  private var pages: [UInt8] = []
  private var inChunk = 0
  private var crc: UInt32 = 0
  private var changed = 0
  private var last: UInt32 = 0
  /// Pages in `chunks`.
  private var inPart = 0
  private var parts: PagePartSpool?

  /// `base`: the last batch of the snapshot that the transaction ran on. `pageCount`: of the database after
  /// it. `scratch`: has the file for what is more than `partBytes`; nil: all is one batch.
  package init(
    base: TxID, turn: TxID?, pageSize: Int, pageCount: UInt32, scratch: (any FileSystem)? = nil,
    partBytes: Int = Limits.partBytes
  ) {
    parts = scratch.map { PagePartSpool($0, partBytes: partBytes) }
    self.base = base
    self.turn = turn
    self.pageSize = pageSize
    self.pageCount = pageCount
  }

  /// Adds page `number`, in ascending order, as the transaction left it; `before` is the page of the base,
  /// nil where the base has none. One that did not change is left out.
  ///
  /// Throws `.limit` where the transaction is larger than one may be, `.invalid` for what is no page.
  package mutating func add(
    _ number: UInt32, _ page: UnsafeRawBufferPointer, over before: UnsafeRawBufferPointer?
  ) throws(StoreError) {
    guard page.count == pageSize, before?.count ?? pageSize == pageSize, number > last,
      number <= pageCount
    else {
      throw StoreError(
        .invalid, "pages are added whole and in ascending order; page \(number) is not")
    }
    if let before, number != 1, before.elementsEqual(page) { return }
    guard Int64(changed + 1) * Int64(pageSize) <= Limits.transactionBytes,
      parts != nil || chunks.count + pages.count <= Limits.batchBytes
    else {
      throw StoreError(
        .limit,
        "an interactive transaction changes at most \(Limits.transactionBytes) bytes of pages; split it, or submit its statements as a batch"
      )
    }
    let isXOR = append(page, over: before)
    tags.append(varint: UInt64(number - last) << 1 | (isXOR ? 1 : 0))
    crc = crc32c(page, continuing: crc)
    last = number
    changed += 1
    inChunk += 1
    inPart += 1
    guard let parts else {
      if pages.count >= PageBatch.chunkBytes { endChunk() }
      return
    }
    let chunkBytes = min(PageBatch.chunkBytes, parts.partBytes)
    guard pages.count >= chunkBytes else { return }
    endChunk()
    if max(Int64(chunks.count), leastBytes) >= Int64(parts.partBytes) { try endPart() }
  }

  /// Of what is in `chunks`.
  private var leastBytes: Int64 {
    PageBatch.leastBytes(ofPages: Int64(inPart) * Int64(pageSize))
  }

  /// An XOR where most of it is zeros; false: the page as it is.
  private mutating func append(
    _ page: UnsafeRawBufferPointer, over before: UnsafeRawBufferPointer?
  ) -> Bool {
    guard let before else {
      pages.append(contentsOf: page)
      return false
    }
    let start = pages.count
    var zeros = 0
    for i in 0..<pageSize {
      let difference = page[i] ^ before[i]
      if difference == 0 { zeros += 1 }
      pages.append(difference)
    }
    guard zeros * 2 < pageSize else { return true }
    pages.replaceSubrange(start..., with: page)
    return false
  }

  private mutating func endChunk() {
    guard inChunk > 0 else { return }
    chunks.append(varint: UInt64(inChunk))
    chunks.append(raw: tags.bytes)
    chunks.append(crc)
    var stored: [UInt8] = []
    let isSmaller = pages.withUnsafeBytes { compressor.append($0, level: 1, to: &stored) }
    chunks.append(isSmaller ? Codec.zstd.rawValue : Codec.raw.rawValue)
    chunks.append(counted: isSmaller ? stored : pages)
    tags.bytes.removeAll(keepingCapacity: true)
    pages.removeAll(keepingCapacity: true)
    (inChunk, crc) = (0, 0)
  }

  private mutating func pad() {
    let missing = Int(leastBytes) - chunks.count
    if missing > 0 { chunks.append(raw: [UInt8](repeating: 0, count: missing)) }
  }

  private mutating func endPart() throws(StoreError) {
    pad()
    try parts?.append(chunks.bytes)
    chunks.bytes.removeAll(keepingCapacity: true)
    inPart = 0
  }

  /// Throws where the scratch file cannot be written.
  package consuming func finish() throws(StoreError) -> PageBatch {
    endChunk()
    var made: PageParts?
    if parts?.isEmpty == false {
      if inPart > 0 { try endPart() }
      made = parts?.made
    } else {
      pad()
    }
    return PageBatch(
      base: base, turn: turn, pageSize: pageSize, pageCount: pageCount, changed: changed,
      chunks: chunks.bytes, parts: made)
  }
}
