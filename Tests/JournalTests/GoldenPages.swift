import SluiceShared

@testable import SluiceJournal

/// The batches of `journal-pages.bin`: the turn asked for, pages committed with it and without, and the turn given
/// back.
enum GoldenPages {
  static let first = Samples.noise(512, seed: 3)
  static let fourth = Samples.noise(512, seed: 4)
  /// Page 1 of the state that the second commit is based on; what it makes of it differs by 7 in each byte, which
  /// is `GoldenFiles.compressedPage`.
  static let base = first
  static let changed = base.map { $0 ^ 7 }

  static var batches: [Batch] {
    get throws {
      [
        Batch(.requestTurn), Batch(.commit(try asMade)), Batch(.commit(asXOR), key: "pages-1"),
        Batch(.cancelTurn),
      ]
    }
  }

  /// As the encoder makes it where nothing compresses: one chunk of two pages, as they are.
  static var asMade: PageBatch {
    get throws(StoreError) {
      var encoder = PageBatchEncoder(
        base: TxID(41), turn: TxID(42), pageSize: 512, pageCount: 4)
      try add(to: &encoder)
      return try encoder.finish()
    }
  }

  private static func add(to encoder: inout PageBatchEncoder) throws(StoreError) {
    let result: Result<Void, StoreError> = first.withUnsafeBytes { first in
      fourth.withUnsafeBytes { fourth in
        Result { () throws(StoreError) in
          try encoder.add(1, first, over: nil)
          try encoder.add(4, fourth, over: nil)
        }
      }
    }
    try result.get()
  }

  /// The same pages in two parts, of `journal-parts.bin`.
  static func inParts(_ scratch: any FileSystem) throws(StoreError) -> PageBatch {
    var encoder = PageBatchEncoder(
      base: TxID(41), turn: TxID(42), pageSize: 512, pageCount: 4, scratch: scratch, partBytes: 512)
    try add(to: &encoder)
    return try encoder.finish()
  }

  /// Put together by hand: zstd may compress otherwise in another version.
  static var asXOR: PageBatch {
    var chunks = ByteWriter()
    chunks.append(varint: 1)
    chunks.append(varint: 1 << 1 | 1)
    chunks.append(crc32c(changed))
    chunks.append(Codec.zstd.rawValue)
    chunks.append(counted: GoldenFiles.compressedPage)
    chunks.append(raw: [0, 0, 0])
    return PageBatch(
      base: TxID(43), turn: nil, pageSize: 512, pageCount: 4, changed: 1, chunks: chunks.bytes)
  }
}
