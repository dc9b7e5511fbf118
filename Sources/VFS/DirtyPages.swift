package import SluiceShared

/// The pages that a transaction wrote: in memory up to a bound, then in a scratch file, so that
/// memory stays bounded whatever the SQL.
package final class DirtyPages {
  private enum Place {
    case memory(UnsafeMutableRawPointer)
    case scratch(Int64)
  }

  private static let keptPlaces = 1 << 16

  package let pageSize: Int
  private let fileSystem: any FileSystem
  private var places: [UInt32: Place] = [:]
  private var free: [UnsafeMutableRawPointer] = []
  private var inMemory = 0
  /// So many bytes of pages stay in memory; what is there already does.
  package var memoryBytes: Int
  private let mostBytes: Int64
  private let mostPages: Int
  private var scratch: (any File)?
  private var scratchEnd: Int64 = 0
  package private(set) var highest: UInt32 = 0
  /// Bytes that the same transaction has on the local disk beside these.
  package var elsewhere: () -> Int64 = { 0 }

  package init(pageSize: Int, fileSystem: any FileSystem, _ sizes: CommitSizes = CommitSizes()) {
    self.pageSize = pageSize
    self.fileSystem = fileSystem
    memoryBytes = sizes.dirtyBytes
    mostBytes = sizes.commitBytes
    mostPages = sizes.commitPages
  }

  deinit {
    removeAll()
    for buffer in free { buffer.deallocate() }
  }

  package var isEmpty: Bool { places.isEmpty }
  package var count: Int { places.count }
  /// On the local disk.
  package var scratchBytes: Int64 { scratchEnd }
  /// Ascending.
  package var numbers: [UInt32] { places.keys.sorted() }

  package func contains(_ page: UInt32) -> Bool { places[page] != nil }

  package func write(_ page: UInt32, _ bytes: UnsafeRawBufferPointer) throws(StoreError) {
    highest = max(highest, page)
    guard let base = bytes.baseAddress else { return }
    switch places[page] {
    case .memory(let buffer): buffer.copyMemory(from: base, byteCount: pageSize)
    case .scratch(let offset): try write(bytes, at: offset)
    case nil:
      if (inMemory + 1) * pageSize <= memoryBytes {
        let buffer =
          free.popLast() ?? .allocate(byteCount: pageSize, alignment: 64)
        buffer.copyMemory(from: base, byteCount: pageSize)
        places[page] = .memory(buffer)
        inMemory += 1
      } else {
        try spill(page, bytes)
      }
    }
  }

  private func spill(_ page: UInt32, _ bytes: UnsafeRawBufferPointer) throws(StoreError) {
    guard Int64(places.count + 1) * Int64(pageSize) <= mostBytes else {
      throw StoreError(
        .limit, "a commit changes at most \(mostBytes) bytes of pages; split it")
    }
    guard places.count < mostPages else {
      throw StoreError(
        .limit,
        "a commit changes at most \(mostPages) pages, and these have \(pageSize) bytes; split it, or make the pages larger with `sluice compact --page-size`"
      )
    }
    if scratch == nil { scratch = try fileSystem.scratchFile() }
    try write(bytes, at: scratchEnd)
    places[page] = .scratch(scratchEnd)
    scratchEnd += Int64(pageSize)
  }

  private func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
    do throws(StoreError) { try scratch?.write(bytes, at: offset) } catch {
      throw filled(error, with: 0)
    }
  }

  /// What a write to the local disk failed with, where `more` bytes of the same pages are there beside what
  /// is here. A scratch disk that the pages of one commit filled is a limit that they ran into.
  package func filled(_ error: StoreError, with more: Int64) -> StoreError {
    guard error.isFullDisk,
      fileSystem.isScratchDiskFilled(by: scratchEnd + elsewhere() + more, error)
    else {
      return error
    }
    return StoreError(
      .limit,
      "the changed pages of a commit fill the scratch disk: \(error.message); split it, or give its process a larger TMPDIR",
      path: error.path)
  }

  /// Fills `buffer` with a page; false where it was not written.
  package func read(_ page: UInt32, into buffer: UnsafeMutableRawBufferPointer) throws(StoreError)
    -> Bool
  {
    switch places[page] {
    case .memory(let bytes):
      buffer.copyMemory(from: UnsafeRawBufferPointer(start: bytes, count: pageSize))
    case .scratch(let offset): _ = try scratch?.read(into: buffer, at: offset)
    case nil: return false
    }
    return true
  }

  package func copy(of page: UInt32) throws(StoreError) -> [UInt8]? {
    switch places[page] {
    case .memory(let bytes): Array(UnsafeRawBufferPointer(start: bytes, count: pageSize))
    case .scratch(let offset): try scratch?.read(pageSize, at: offset)
    case nil: nil
    }
  }

  /// Forgets the pages behind the first `count`. Their room in the scratch file stays taken.
  package func truncate(to count: UInt32) {
    for (page, place) in places where page > count {
      if case .memory(let buffer) = place {
        free.append(buffer)
        inMemory -= 1
      }
      places[page] = nil
    }
    highest = min(highest, count)
  }

  package func removeAll() {
    for case .memory(let buffer) in places.values { free.append(buffer) }
    while free.count * pageSize > memoryBytes / 4, let buffer = free.popLast() {
      buffer.deallocate()
    }
    // What knew very many pages is not kept for the next few.
    places.removeAll(keepingCapacity: places.capacity <= Self.keptPlaces)
    inMemory = 0
    highest = 0
    scratch = nil
    scratchEnd = 0
  }
}
