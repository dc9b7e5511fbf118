internal import SluiceJournal
internal import SluiceShared

/// Blocks of the newest segment of the log, as they were read past the caches.
///
/// A block with a page of a published commit is final: a frame begins at a block's border, and was durable, whole,
/// before it was published. A small commit has its pages in a block or two, and a transaction needs some of them
/// several times (page 1 at its beginning, and again as what its own page 1 is compared with). On NFS each of these
/// reads would be a round trip.
final class RecentBlocks: Sendable {
  private struct Window {
    let offset: Int64
    let bytes: [UInt8]

    func covers(_ start: Int64, _ count: Int) -> Bool {
      start >= offset && start + Int64(count) <= offset + Int64(bytes.count)
    }
  }

  /// The newest last.
  private let windows = Monitor<[Window]>([])

  /// Fills `buffer` as far as the file goes; returns how far that is.
  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: Int64, from file: any File
  ) throws(StoreError) -> Int {
    if copy(into: buffer, from: offset) { return buffer.count }
    let size = Int64(Block.size)
    let first = offset / size * size
    let blocks = (offset + Int64(buffer.count) - first + size - 1) / size
    guard blocks <= Limits.blocksPerWindow else { return try file.read(into: buffer, at: offset) }
    keep(try file.read(Int(blocks * size), at: first), at: first)
    if copy(into: buffer, from: offset) { return buffer.count }
    // It ends before.
    return try file.read(into: buffer, at: offset)
  }

  /// Nothing in them may change any more.
  func keep(_ bytes: [UInt8], at offset: Int64) {
    guard bytes.count <= Int(Limits.blocksPerWindow) * Block.size else { return }
    windows.withLock { windows in
      if windows.count == Limits.recentWindows { windows.removeFirst() }
      windows.append(Window(offset: offset, bytes: bytes))
    }
  }

  private func copy(into buffer: UnsafeMutableRawBufferPointer, from offset: Int64) -> Bool {
    guard
      let window = windows.withLock({ $0.last { $0.covers(offset, buffer.count) } })
    else { return false }
    let start = Int(offset - window.offset)
    window.bytes.withUnsafeBytes {
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + buffer.count]))
    }
    return true
  }

  /// One of them was not what was written, or they are not needed any more.
  func removeAll() { windows.withLock { $0 = [] } }
}
