internal import SluiceJournal
internal import SluiceShared

/// One place of a page in a file: what to read there and what must come out.
struct StoredPage {
  var offset: Int64
  var stored: Int
  var crc: UInt32

  /// Reads the page from `file`, or from what is known of it; false where its bytes are not what was written.
  func read(
    from file: any File, keepingIn recent: RecentBlocks? = nil,
    into page: UnsafeMutableRawBufferPointer, checked: Bool
  ) throws(StoreError) -> Bool {
    func bytes(into buffer: UnsafeMutableRawBufferPointer) throws(StoreError) -> Bool {
      guard let recent else { return try file.read(into: buffer, at: offset) == stored }
      return try recent.read(into: buffer, at: offset, from: file) == stored
    }
    if stored == page.count {
      guard try bytes(into: page) else { return false }
    } else {
      guard stored < page.count else { return false }
      let workspace = PageWorkspace.take()
      defer { PageWorkspace.give(workspace) }
      let input = UnsafeMutableRawBufferPointer(rebasing: workspace.stored[0..<stored])
      guard try bytes(into: input),
        workspace.decompressor.decompress(UnsafeRawBufferPointer(input), into: page)
      else { return false }
    }
    return !checked || crc32c(UnsafeRawBufferPointer(page)) == crc
  }
}

/// A decompression context, and room for a page and for a compressed one; used by one thread at a
/// time.
final class PageWorkspace: @unchecked Sendable {
  // Sendable: taken out of the pool by one thread, which gives it back.
  let decompressor = Decompressor()
  let stored = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 4096)
  let page = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 4096)

  private static let idle = ProcessLocal<[PageWorkspace]> { [] }
  private static let mostIdle = 16

  deinit {
    stored.deallocate()
    page.deallocate()
  }

  static func take() -> PageWorkspace { idle.withLock { $0.popLast() } ?? PageWorkspace() }

  static func give(_ workspace: PageWorkspace) {
    idle.withLock { if $0.count < mostIdle { $0.append(workspace) } }
  }
}
