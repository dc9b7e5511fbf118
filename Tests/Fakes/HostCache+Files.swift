internal import SluiceShared

/// What a machine believes of one file.
struct CachedFile {
  enum Page {
    case absent
    case hole
    case block(BlockMap.Block)
  }

  var attributes: FileStatus?
  var until_ns: UInt64 = 0
  /// Changes by others when the pages were last known to be good.
  var foreignChanges: UInt64 = 0
  private var pages: [Page] = []
  /// All that processes here have open.
  var handles: [UInt64] = []
  /// How many of them are open for writing.
  var writers = 0

  subscript(number: Int) -> Page {
    get { number < pages.count ? pages[number] : .absent }
    set {
      if number >= pages.count {
        pages += [Page](repeating: .absent, count: number + 1 - pages.count)
      }
      pages[number] = newValue
    }
  }

  mutating func removePages() { pages = [] }

  mutating func removePages(from number: Int) {
    if number < pages.count { pages.removeLast(pages.count - number) }
  }
}

extension HostCache {
  /// Asks the server for the attributes, and drops the pages where another machine changed the
  /// file. As Linux has it, not while a process here has it open for writing. False: the server does not know
  /// it.
  @discardableResult
  func revalidate(_ inode: UInt64, _ now_ns: UInt64, _ state: MemoryDisk.State) -> Bool {
    guard state.isThere(inode), let found = state.inodes[inode] else { return false }
    var status = FileStatus(found, inode)
    // A file that has no name any more but is open is not told from one that has.
    status.links = max(1, status.links)
    let foreign = found.changes.foreign(to: number)
    var file = files.removeValue(forKey: inode) ?? CachedFile()
    if file.writers > 0, let old = file.attributes {
      status.size = max(status.size, old.size)
      if file.foreignChanges != foreign { counts.keptPages += 1 }
    } else if file.foreignChanges != foreign {
      file.removePages()
      file.foreignChanges = foreign
    }
    file.attributes = status
    file.until_ns = later(now_ns, 2_500, 23_000)
    files[inode] = file
    return true
  }

  /// open(2) asks the server, so that what was closed before is seen; where a process here has the
  /// file open for writing, what is cached stays.
  func revalidateAtOpen(_ inode: UInt64, _ now_ns: UInt64, _ state: MemoryDisk.State) -> Bool {
    if let file = files[inode], file.writers > 0, file.attributes != nil {
      return state.isThere(inode)
    }
    return revalidate(inode, now_ns, state)
  }

  /// lstat(2) and fstat(2): what is cached, while it is believed.
  func status(_ inode: UInt64, _ now_ns: UInt64, _ state: MemoryDisk.State) -> FileStatus? {
    if let file = files[inode], file.until_ns > now_ns, let known = file.attributes {
      return known
    }
    return revalidate(inode, now_ns, state) ? files[inode]?.attributes : nil
  }

  /// This machine changed something that only the server can tell.
  func expire(_ inode: UInt64?) {
    if let inode { files[inode]?.until_ns = 0 }
  }

  /// A write failed: what is cached is not what the file holds, except for what is still to be sent.
  func distrust(_ inode: UInt64, _ now_ns: UInt64, _ state: MemoryDisk.State) {
    files[inode]?.removePages()
    files[inode]?.attributes = nil
    guard revalidate(inode, now_ns, state) else { return }
    for writer in writers(inode, state) {
      for unsynced in state.handles[writer]?.unsynced ?? [] where unsynced.landed == 0 {
        wrote(unsynced.change, inode, state)
      }
    }
    expire(inode)
  }

  // MARK: Pages

  /// A read through the cache. Nil: the server is needed and does not know the file, or
  /// `isStale` says that it may not be asked.
  func read(
    _ inode: UInt64, into buffer: UnsafeMutableRawBufferPointer, at offset: Int64,
    isStale: Bool, _ now_ns: UInt64, _ state: MemoryDisk.State
  ) -> Int? {
    let isExpired = (files[inode]?.until_ns ?? 0) <= now_ns
    if isExpired, isStale || !revalidate(inode, now_ns, state) { return nil }
    guard let size = files[inode]?.attributes?.size else { return nil }
    guard offset < size, offset >= 0 else { return 0 }
    let count = Int(min(Int64(buffer.count), size - offset))
    for span in BlockSpans(at: offset, count: count) {
      let block: BlockMap.Block?
      switch files[inode]?[span.number] ?? .absent {
      case .block(let cached): block = cached
      case .hole: block = nil
      case .absent:
        guard !isStale, state.isThere(inode) else { return nil }
        block = fetch(inode, span.number, state)
      }
      BlockMap.copy(block, span, into: buffer)
    }
    return count
  }

  @discardableResult
  private func fetch(_ inode: UInt64, _ number: Int, _ state: MemoryDisk.State) -> BlockMap.Block? {
    let block = state.inodes[inode]?.content.blocks[number]
    files[inode]?[number] = block.map { .block($0) } ?? .hole
    return block
  }

  /// A write through the cache: processes here see it at once.
  func wrote(_ change: ContentChange, _ inode: UInt64, _ state: MemoryDisk.State) {
    guard case .write(let number, let from, let bytes) = change, files[inode] != nil else {
      return
    }
    if bytes.count == BlockMap.blockBytes {
      files[inode]?[number] = .block(bytes)
    } else {
      if case .absent = files[inode]?[number] ?? .absent { fetch(inode, number, state) }
      var block = BlockMap.Block()
      if case .block(let cached) = files[inode]?[number] ?? .absent {
        block = cached
        files[inode]?[number] = .hole
      } else {
        block = BlockMap.Block(repeating: 0, count: BlockMap.blockBytes)
      }
      BlockMap.overwrite(&block, from: from, with: bytes)
      files[inode]?[number] = .block(block)
    }
    let end = Int64(number * BlockMap.blockBytes + from + bytes.count)
    if let size = files[inode]?.attributes?.size, size < end {
      files[inode]?.attributes?.size = end
    }
  }

  /// ftruncate(2) here.
  func resized(_ inode: UInt64, to size: Int64) {
    guard let old = files[inode]?.attributes?.size else { return }
    files[inode]?.attributes?.size = size
    // The pages behind the new end, and the one that has it, are read again.
    if size < old { files[inode]?.removePages(from: Int(size) / BlockMap.blockBytes) }
  }

  /// What processes here wrote to the file and is on its way; a read past the cache sends it first.
  func writers(_ inode: UInt64, _ state: MemoryDisk.State) -> [UInt64] {
    guard let file = files[inode], file.writers > 0 else { return [] }
    return file.handles.filter { (state.handles[$0]?.unlanded ?? 0) > 0 }
  }
}
