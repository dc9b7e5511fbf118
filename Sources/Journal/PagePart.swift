package import SluiceShared

// The parts of a page batch are the empty frames, each with a section 10, that come before the batch's frame in
// its segment, behind the last frame that has a batch. The section has chunks of pages as field 7 of a batch has
// them, behind one another's, and is never compressed as a whole. Each part has one byte for each 128 of its
// pages at least. A batch names its parts in their order: what it does not name, or names otherwise, makes it a
// rejected one.

/// What a page batch says of one of its parts.
package struct PagePart: Hashable, Sendable {
  package let bytes: Int
  package let crc: UInt32

  package init(bytes: Int, crc: UInt32) {
    self.bytes = bytes
    self.crc = crc
  }

  func encode(to writer: inout ByteWriter) {
    writer.append(varint: UInt64(bytes))
    writer.append(crc)
  }

  /// All that are left in `reader`.
  static func list(_ reader: inout ByteReader) throws(DecodingError) -> [PagePart] {
    var list: [PagePart] = []
    while !reader.isAtEnd {
      let bytes = try reader.varint()
      guard bytes > 0, bytes <= UInt64(Limits.mostPartBytes),
        list.count < Limits.partsPerTransaction
      else { throw DecodingError("part \(list.count + 1) of \(bytes) bytes") }
      list.append(PagePart(bytes: Int(bytes), crc: try reader.integer()))
    }
    guard !list.isEmpty else { throw DecodingError("it names no part") }
    return list
  }
}

/// The parts of a page batch, in their order.
package final class PageParts: Sendable, Hashable {
  package let list: [PagePart]
  /// One behind the other, in the process that made them.
  package let file: (any File)?

  package init(_ list: [PagePart], in file: (any File)?) {
    self.list = list
    self.file = file
  }

  /// Whether they can be had; not where the batch was read from somewhere.
  package var areHere: Bool { file != nil }
  package var bytes: Int64 { list.reduce(0) { $0 + Int64($1.bytes) } }

  /// Calls `body` with each, in order, until it says false. Memory: one of them.
  package func forEach(_ body: ([UInt8]) throws(StoreError) -> Bool) throws(StoreError) {
    guard let file else {
      throw StoreError(
        .invalid,
        "the pages of this transaction are in the log only; run the transaction again")
    }
    var offset: Int64 = 0
    for part in list {
      let bytes = try file.read(part.bytes, at: offset)
      guard bytes.count == part.bytes, crc32c(bytes) == part.crc else {
        throw StoreError(
          .io, "the scratch file of a transaction is not what was written", path: file.path,
          offset: offset)
      }
      guard try body(bytes) else { return }
      offset += Int64(part.bytes)
    }
  }

  package static func == (a: PageParts, b: PageParts) -> Bool { a.list == b.list }
  package func hash(into hasher: inout Hasher) { hasher.combine(list) }
}

/// Where an encoder puts parts: a scratch file, from the first one on.
struct PagePartSpool {
  let partBytes: Int
  private let fileSystem: any FileSystem
  private var file: (any File)?
  private var list: [PagePart] = []
  private var end: Int64 = 0

  init(_ fileSystem: any FileSystem, partBytes: Int) {
    self.fileSystem = fileSystem
    self.partBytes = partBytes
  }

  var isEmpty: Bool { list.isEmpty }
  var made: PageParts { PageParts(list, in: file) }

  mutating func append(_ bytes: [UInt8]) throws(StoreError) {
    let file =
      if let file { file } else { try fileSystem.scratchFile() }
    self.file = file
    try file.write(bytes, at: end)
    list.append(PagePart(bytes: bytes.count, crc: crc32c(bytes)))
    end += Int64(bytes.count)
  }
}
