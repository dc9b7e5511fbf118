internal import SluiceShared
internal import SluiceVFS

/// The pages that a transaction wrote, over the pinned state of the store.
///
/// In memory while they are few, then in a scratch file on the local disk.
final class Overlay {
  private var pages: DirtyPages
  private let fileSystem: any FileSystem
  private let mostBytes: Int64
  /// Pages of the database as it was cut last; behind them nothing of the pinned state is left.
  private var cut = UInt32.max

  init(
    pageSize: Int, fileSystem: any FileSystem, mostBytes: Int64 = Limits.transactionBytes
  ) {
    self.fileSystem = fileSystem
    self.mostBytes = mostBytes
    pages = Self.empty(pageSize, fileSystem)
  }

  private static func empty(_ pageSize: Int, _ fileSystem: any FileSystem) -> DirtyPages {
    let pages = DirtyPages(pageSize: pageSize, fileSystem: fileSystem)
    pages.memoryBytes = Limits.overlayMemoryBytes
    return pages
  }

  /// That of the pinned state which it lies over.
  var pageSize: Int { pages.pageSize }

  /// Another state is pinned, whose pages have so many bytes; nothing lies over it yet.
  func begin(pageSize: Int) {
    guard pageSize != self.pageSize else { return }
    pages = Self.empty(pageSize, fileSystem)
    cut = .max
  }

  /// Whether the pinned state is all there is to see.
  var isEmpty: Bool { pages.isEmpty && cut == .max }
  /// Ascending.
  var numbers: [UInt32] { pages.numbers }

  func pageCount(over base: UInt32) -> UInt32 { max(min(base, cut), pages.highest) }

  /// `bytes` are one page long. Throws `.limit` where the transaction becomes too large.
  func write(_ page: UInt32, _ bytes: UnsafeRawBufferPointer) throws(StoreError) {
    guard pages.contains(page) || Int64(pages.count + 1) * Int64(pageSize) <= mostBytes else {
      throw StoreError(
        .limit,
        "an interactive transaction changes at most \(mostBytes) bytes of pages; commit more often, or submit a batch"
      )
    }
    try pages.write(page, bytes)
  }

  func truncate(to count: UInt32) {
    cut = min(cut, count)
    pages.truncate(to: count)
  }

  func removeAll() {
    pages.removeAll()
    cut = .max
  }

  func copy(of page: UInt32) throws(StoreError) -> [UInt8]? { try pages.copy(of: page) }

  /// Fills `buffer`, which is one page long; false where there is no such page.
  func read(_ page: UInt32, over base: any PinnedFile, into buffer: UnsafeMutableRawBufferPointer)
    throws(StoreError) -> Bool
  {
    if try pages.read(page, into: buffer) { return true }
    if page <= min(base.pageCount, cut) {
      try base.read(page: page, into: buffer)
      return true
    }
    buffer.initializeMemory(as: UInt8.self, repeating: 0)
    return page <= pages.highest
  }
}
