import CSQLite
package import SluiceJournal
package import SluiceReader
package import SluiceSQLite
package import SluiceShared

/// What an interactive transaction makes of a snapshot: SQLite on a copy of its pages in memory.
///
/// For tests: a client that keeps to the rules, and whose pages can then be changed to keep to none.
package final class EditedSnapshot {
  package let snapshot: Snapshot
  package let connection: Connection
  /// The pages as they are sent, by number; nil: not sent.
  package private(set) var pages: [[UInt8]?] = []
  private var before: [[UInt8]] = []

  /// Where parts are made.
  private let scratch: any FileSystem

  package init(_ snapshot: Snapshot, scratch: any FileSystem = PosixFileSystem()) throws {
    self.snapshot = snapshot
    self.scratch = scratch
    var image: [UInt8] = []
    for page in 1...max(1, snapshot.pageCount) {
      var bytes = [UInt8](repeating: 0, count: snapshot.pageSize)
      try bytes.withUnsafeMutableBytes { try snapshot.read(page: page, into: $0) }
      before.append(bytes)
      image += bytes
    }
    connection = try Connection(path: ":memory:", flags: [.readWrite, .create, .noMutex])
    // SQLite frees it, and wants room to grow.
    guard let copy = sqlite3_malloc64(UInt64(image.count)) else {
      throw StoreError(.io, "no memory")
    }
    image.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { copy.copyMemory(from: base, byteCount: bytes.count) }
    }
    try connection.check(
      sqlite3_deserialize(
        connection.handle, "main", copy.assumingMemoryBound(to: UInt8.self),
        Int64(image.count), Int64(image.count),
        UInt32(SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE)))
  }

  /// Executes `sql` as one transaction.
  package func execute(_ sql: String) throws {
    try connection.execute("BEGIN IMMEDIATE; \(sql); COMMIT")
  }

  /// Takes the pages as they are now.
  package func take() throws {
    var size: Int64 = 0
    guard let image = sqlite3_serialize(connection.handle, "main", &size, 0) else {
      throw StoreError(.io, "SQLite gives no image")
    }
    defer { sqlite3_free(image) }
    let pageSize = snapshot.pageSize
    pages = (0..<Int(size) / pageSize).map { index in
      Array(UnsafeRawBufferPointer(start: image + index * pageSize, count: pageSize))
    }
  }

  /// Changes page `number`, as no SQLite would.
  package func change(_ number: Int, _ body: (inout [UInt8]) -> Void) {
    guard var page = pages[number - 1] else { return }
    body(&page)
    pages[number - 1] = page
  }

  /// Another page at the end.
  package func add(_ page: [UInt8]) { pages.append(page) }

  /// Takes bytes of page `number` back to what they were in the snapshot.
  package func restore(_ number: Int, _ places: Range<Int>) {
    let old = before[number - 1][places]
    change(number) { $0.replaceSubrange(places, with: old) }
  }

  /// `partBytes`: sent in parts where it is more.
  package func batch(turn: TxID? = nil, pageCount: Int? = nil, partBytes: Int? = nil)
    throws(StoreError) -> PageBatch
  {
    let lockByte = DatabaseChecksum.lockBytePage(pageSize: snapshot.pageSize)
    var encoder = PageBatchEncoder(
      base: snapshot.txid, turn: turn, pageSize: snapshot.pageSize,
      pageCount: UInt32(pageCount ?? pages.count),
      scratch: partBytes == nil ? nil : scratch, partBytes: partBytes ?? Limits.partBytes)
    for (index, page) in pages.enumerated() {
      guard let page, UInt32(index + 1) != lockByte, index < pageCount ?? .max else { continue }
      try EditedSnapshot.add(
        UInt32(index + 1), page, before.indices.contains(index) ? before[index] : nil, to: &encoder)
    }
    return try encoder.finish()
  }

  /// What a batch would be that lacks its last part, and says the same for the rest.
  package static func withoutLastPart(_ pages: PageBatch) -> PageBatch {
    guard let parts = pages.parts else { return pages }
    return PageBatch(
      base: pages.base, turn: pages.turn, pageSize: pages.pageSize, pageCount: pages.pageCount,
      changed: pages.changed, chunks: pages.chunks,
      parts: PageParts(parts.list.dropLast(), in: parts.file))
  }

  private static func add(
    _ number: UInt32, _ page: [UInt8], _ before: [UInt8]?, to encoder: inout PageBatchEncoder
  ) throws(StoreError) {
    let result: Result<Void, StoreError> = page.withUnsafeBytes { page in
      do throws(StoreError) {
        if let before {
          try before.withUnsafeBytes { (before) in
            Result { () throws(StoreError) in
              try encoder.add(number, page, over: before)
            }
          }.get()
        } else {
          try encoder.add(number, page, over: nil)
        }
        return .success(())
      } catch {
        return .failure(error)
      }
    }
    try result.get()
  }
}
