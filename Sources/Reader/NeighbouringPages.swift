internal import SluiceJournal
internal import SluiceShared

/// Reads pages of a snapshot that follow each other: few calls for many pages, and each page's checksum computed once.
///
/// What is read so is believed where its checksum is right. Any other page is read by itself, by `Snapshot.read`,
/// which looks past the caches and names what is damaged.
final class NeighbouringPages {
  private let snapshot: Snapshot
  private let pageSize: Int
  /// What was read of the log at once.
  private let span: UnsafeMutableRawBufferPointer
  private let decompressor = Decompressor()

  /// Pages of other places than the checkpoint's between two of that, which are read with them.
  private static let bridgedPages = 16
  /// Bytes between two pages in a segment that are read with them.
  private static let bridgedBytes: Int64 = 16 << 10
  private static let spanBytes = 1 << 20

  init(_ snapshot: Snapshot) {
    self.snapshot = snapshot
    pageSize = snapshot.pageSize
    span = .allocate(byteCount: Self.spanBytes, alignment: Block.size)
  }

  deinit { span.deallocate() }

  /// Fills `buffer`, which is as many pages long as `known` has elements, with the pages from `first` on; returns
  /// their checksums (CRC-32C). `known`: the checksums of the pages that are there already.
  ///
  /// Throws as `Snapshot.read` does.
  func read(
    from first: UInt32, into buffer: UnsafeMutableRawBufferPointer, known: [UInt32?]
  ) throws(StoreError) -> [UInt32] {
    precondition(buffer.count == known.count * pageSize, "a snapshot is read by pages")
    let places = known.indices.map {
      known[$0] == nil ? snapshot.place(of: first + UInt32($0)) : nil
    }
    var isRead = known.map { $0 != nil }
    readCheckpoint(places, from: first, into: buffer, &isRead)
    readLog(places, into: buffer, &isRead)
    var checksums: [UInt32] = []
    checksums.reserveCapacity(known.count)
    for i in known.indices {
      if let known = known[i] {
        checksums.append(known)
        continue
      }
      let page = page(i, of: buffer)
      var crc = crc32c(UnsafeRawBufferPointer(page))
      let number = first + UInt32(i)
      var isRight = isRead[i]
      if isRight, isChecked { isRight = try crc == snapshot.crc(ofPage: number) }
      if !isRight {
        try snapshot.read(page: number, into: page)
        crc = crc32c(UnsafeRawBufferPointer(page))
      }
      checksums.append(crc)
    }
    return checksums
  }

  private var isChecked: Bool { snapshot.checkpoint.files.checksPages }

  private func page(_ i: Int, of buffer: UnsafeMutableRawBufferPointer)
    -> UnsafeMutableRawBufferPointer
  {
    UnsafeMutableRawBufferPointer(rebasing: buffer[i * pageSize..<(i + 1) * pageSize])
  }

  /// In a checkpoint pages lie as in the database. Pages of the log between them are overwritten later.
  private func readCheckpoint(
    _ places: [PageIndex.Place?], from first: UInt32, into buffer: UnsafeMutableRawBufferPointer,
    _ isRead: inout [Bool]
  ) {
    func isThere(_ i: Int) -> Bool {
      if case .checkpoint? = places[i] { true } else { false }
    }
    var start = 0
    while start < places.count {
      var (end, next) = (start, start)
      while next < places.count, places[next] != nil, next - end <= Self.bridgedPages {
        next += 1
        if isThere(next - 1) { end = next }
      }
      if end > start {
        let bytes = snapshot.checkpoint.readUnchecked(
          first + UInt32(start),
          into: UnsafeMutableRawBufferPointer(rebasing: buffer[start * pageSize..<end * pageSize]))
        for i in start..<start + bytes / pageSize where isThere(i) { isRead[i] = true }
      }
      start = max(end, start + 1)
    }
  }

  private func readLog(
    _ places: [PageIndex.Place?], into buffer: UnsafeMutableRawBufferPointer,
    _ isRead: inout [Bool]
  ) {
    var entries: [(index: Int, entry: PageIndex.Entry)] = []
    for (i, place) in places.enumerated() {
      if case .log(let entry)? = place { entries.append((i, entry)) }
    }
    entries.sort { ($0.entry.slot, $0.entry.offset) < ($1.entry.slot, $1.entry.offset) }
    var rest = entries[...]
    while let from = rest.first?.entry {
      let start = from.offset
      var end = start + Int64(from.stored)
      // Neighbours in the segment, as far as there is room for them.
      let count = rest.prefix { (_, entry) in
        let itsEnd = entry.offset + Int64(entry.stored)
        guard entry.slot == from.slot, entry.offset - end <= Self.bridgedBytes,
          itsEnd - start <= Int64(Self.spanBytes)
        else { return false }
        end = max(end, itsEnd)
        return true
      }.count
      if count > 0 {
        let bytes = snapshot.index.segments[Int(from.slot)].readUnchecked(
          at: start, isNewest: Int(from.slot) == snapshot.index.segments.count - 1,
          into: UnsafeMutableRawBufferPointer(rebasing: span[..<Int(end - start)]))
        for (i, entry) in rest.prefix(count) {
          isRead[i] = unpack(
            entry, at: Int(entry.offset - start), of: bytes, into: page(i, of: buffer))
        }
      }
      rest = rest.dropFirst(max(count, 1))
    }
  }

  /// False where it is not among the `count` bytes that were read, or they are not what was written.
  private func unpack(
    _ entry: PageIndex.Entry, at start: Int, of count: Int, into page: UnsafeMutableRawBufferPointer
  ) -> Bool {
    let end = start + Int(entry.stored)
    guard end <= count, Int(entry.stored) <= pageSize else { return false }
    let stored = UnsafeRawBufferPointer(rebasing: span[start..<end])
    guard stored.count < pageSize else {
      page.copyMemory(from: stored)
      return true
    }
    return decompressor.decompress(stored, into: page)
  }
}
