internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared
internal import SluiceVFS

/// Turns the dirty pages of a transaction into the page sections of a commit frame: compressed
/// where that shrinks them, indexed, and with the new checksum of the whole database.
final class PageEncoder {
  /// zstd's level: negative ones trade size for speed.
  static let level: Int32 = -3
  /// Pages that one piece of work compresses, so that a second core is worth waking.
  private static let piecePages = 48

  private let environment: Environment
  private var compressors: [Compressor] = [Compressor()]

  private let compresses: Bool

  /// Pages stay as they are where `compresses` is false.
  init(_ environment: Environment, compresses: Bool = true) {
    self.environment = environment
    self.compresses = compresses
  }

  struct Encoded {
    var entries: [PageEntry]
    var bytes: CommitContent.PageBytes
    var pageCount: UInt32
    var checksum: DatabaseChecksum
  }

  /// `onProgress` is called now and then where there are many pages.
  func encode(
    _ dirty: DirtyPages, over snapshot: Snapshot, onProgress: () -> Void
  ) throws(StoreError) -> Encoded {
    let pageCount = try databaseSize(dirty, snapshot)
    let lockByte = DatabaseChecksum.lockBytePage(pageSize: dirty.pageSize)
    var numbers = dirty.numbers.filter { $0 <= pageCount && $0 != lockByte }
    // Of another page size nothing of the snapshot stays.
    let kept = dirty.pageSize == snapshot.pageSize ? snapshot.pageCount : 0
    numbers += holes(dirty, from: kept, to: pageCount).filter { $0 != lockByte }
    numbers.sort()
    var entries: [PageEntry] = []
    entries.reserveCapacity(numbers.count)
    let bytes: CommitContent.PageBytes
    if numbers.count * dirty.pageSize <= dirty.memoryBytes {
      bytes = .memory(try inMemory(numbers, dirty, &entries))
    } else {
      bytes = try throughScratch(numbers, dirty, &entries, onProgress)
    }
    return Encoded(
      entries: entries, bytes: bytes, pageCount: pageCount,
      checksum: try snapshot.checksum(
        adding: entries, pageSize: dirty.pageSize, pageCount: pageCount))
  }

  /// New pages that were not written. Outside of savepoints SQLite leaves out those which a transaction
  /// took and freed again; a file would have zeros there, and so has a commit.
  private func holes(_ dirty: DirtyPages, from old: UInt32, to new: UInt32) -> [UInt32] {
    guard new > old else { return [] }
    return (old + 1...new).filter { !dirty.contains($0) }
  }

  /// The size after this commit: page 1 says it, bytes 28–31.
  private func databaseSize(_ dirty: DirtyPages, _ snapshot: Snapshot) throws(StoreError) -> UInt32
  {
    guard let first = try dirty.copy(of: 1) else {
      throw StoreError(.io, "SQLite committed without writing page 1")
    }
    return UInt32(first[28]) << 24 | UInt32(first[29]) << 16 | UInt32(first[30]) << 8
      | UInt32(first[31])
  }

  private struct Piece {
    var entries: [PageEntry] = []
    var bytes: [UInt8] = []
    var failure: StoreError?
  }

  private func inMemory(_ numbers: [UInt32], _ dirty: DirtyPages, _ entries: inout [PageEntry])
    throws(StoreError) -> [UInt8]
  {
    let pieceCount = max(1, min(4, numbers.count / PageEncoder.piecePages))
    while compressors.count < pieceCount { compressors.append(Compressor()) }
    if pieceCount == 1 {
      let piece = PageEncoder.encode(numbers[...], dirty, compresses ? compressors[0] : nil)
      if let failure = piece.failure { throw failure }
      entries = piece.entries
      return piece.bytes
    }
    nonisolated(unsafe) let pages = dirty
    nonisolated(unsafe) let compressors = compresses ? compressors : []
    let pieces = Monitor([Piece](repeating: Piece(), count: pieceCount))
    // Each piece reads other pages with a compressor of its own; nothing writes meanwhile.
    environment.executor.concurrently(pieceCount) { i in
      let range = numbers.count * i / pieceCount..<numbers.count * (i + 1) / pieceCount
      let piece = PageEncoder.encode(
        numbers[range], pages, compressors.isEmpty ? nil : compressors[i])
      pieces.withLock { $0[i] = piece }
    }
    var done = pieces.withLock { pieces in
      defer { pieces = [] }
      return pieces
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(done.reduce(0) { $0 + $1.bytes.count })
    for i in done.indices {
      // Each goes when it was copied.
      let piece = done[i]
      done[i] = Piece()
      if let failure = piece.failure { throw failure }
      let base = Int64(bytes.count)
      for var entry in piece.entries {
        entry.offset += base
        entries.append(entry)
      }
      bytes.append(contentsOf: piece.bytes)
    }
    return bytes
  }

  private static func encode(
    _ numbers: ArraySlice<UInt32>, _ dirty: DirtyPages, _ compressor: Compressor?
  ) -> Piece {
    var piece = Piece()
    piece.entries.reserveCapacity(numbers.count)
    piece.bytes.reserveCapacity(numbers.count * dirty.pageSize / 2)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: dirty.pageSize, alignment: 64)
    defer { buffer.deallocate() }
    for number in numbers {
      do throws(StoreError) {
        if try !dirty.read(number, into: buffer) {
          buffer.initializeMemory(as: UInt8.self, repeating: 0)
        }
        append(number, UnsafeRawBufferPointer(buffer), compressor, &piece)
      } catch {
        piece.failure = error
        return piece
      }
    }
    return piece
  }

  private static func append(
    _ number: UInt32, _ page: UnsafeRawBufferPointer, _ compressor: Compressor?,
    _ piece: inout Piece
  ) {
    let offset = piece.bytes.count
    if compressor?.append(page, level: level, to: &piece.bytes) != true {
      piece.bytes.append(contentsOf: page)
    }
    piece.entries.append(
      PageEntry(
        page: number, storedBytes: UInt32(piece.bytes.count - offset), crc: crc32c(page),
        offset: Int64(offset)))
  }

  private func throughScratch(
    _ numbers: [UInt32], _ dirty: DirtyPages, _ entries: inout [PageEntry],
    _ onProgress: () -> Void
  ) throws(StoreError) -> CommitContent.PageBytes {
    let file = try environment.fileSystem.scratchFile()
    var end: Int64 = 0
    for start in stride(from: 0, to: numbers.count, by: 1024) {
      let piece = PageEncoder.encode(
        numbers[start..<min(start + 1024, numbers.count)], dirty,
        compresses ? compressors[0] : nil)
      if let failure = piece.failure { throw failure }
      for var entry in piece.entries {
        entry.offset += end
        entries.append(entry)
      }
      do throws(StoreError) { try file.write(piece.bytes, at: end) } catch {
        throw dirty.filled(error, with: end)
      }
      end += Int64(piece.bytes.count)
      onProgress()
    }
    return .scratch(file, bytes: end)
  }
}
