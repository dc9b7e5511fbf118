internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// The plain SQLite file that a replay writes, page by page in place.
///
/// From the last state on that is known to be as recorded it also keeps what commits wrote over, so that
/// each state since can be looked at again.
final class ReplayedFile {
  private let file: any File
  private var pageSize: Int
  private let fileSystem: any FileSystem
  /// What a replay's snapshots read their pages through.
  let segment: LogSegment

  /// A page as it was before a commit wrote over it.
  private struct Earlier {
    /// The commit that did.
    let commit: UInt64
    let offset: Int64
  }
  private var earlier: [UInt32: [Earlier]] = [:]
  private var scratch: (any File)?
  private(set) var earlierBytes: Int64 = 0
  private var pageCount: UInt32
  /// The most that there were since then: what the file has of pages up to here is somebody's.
  private var mostPages: UInt32

  /// `path` holds `snapshot`.
  init(_ path: String, _ snapshot: Snapshot, _ store: StoreID, _ environment: Environment)
    throws(StoreError)
  {
    fileSystem = environment.fileSystem
    file = try fileSystem.open(path, .write)
    pageSize = snapshot.pageSize
    pageCount = snapshot.pageCount
    mostPages = snapshot.pageCount
    segment = LogSegment(pagesIn: file, store: store, nonce: environment.random())
  }

  /// Writes a commit's pages, and returns where they lie now. `keepsEarlier`: what they replace is kept.
  ///
  /// One that changes the page size has all pages, and nothing is kept of the states before it.
  func write(_ content: CommitContent, keepsEarlier: Bool) throws(StoreError) -> [PageEntry] {
    let isResized = Int(content.meta.pageSize) != pageSize
    if isResized {
      pageSize = Int(content.meta.pageSize)
      forgetEarlier()
      mostPages = 0
    } else if keepsEarlier {
      for entry in content.entries where entry.page <= mostPages {
        try keep(entry.page, before: content.meta.commit)
      }
    }
    var entries = content.entries
    var start = 0
    while start < entries.count {
      // Pages that follow one another are one write.
      var end = start + 1
      while end < entries.count, end - start < Self.pagesPerWrite,
        entries[end].page == entries[end - 1].page + 1
      { end += 1 }
      try write(content.pages, from: entries[start], count: end - start)
      start = end
    }
    for i in entries.indices {
      entries[i].offset = offset(of: entries[i].page)
    }
    pageCount = content.meta.pageCount
    mostPages = max(mostPages, pageCount)
    return entries
  }

  /// Makes it hold `recorded` in place of `present`, and returns where the pages lie that differ. What was kept
  /// of earlier states is void then.
  func take(_ recorded: Snapshot, over present: Snapshot) throws(StoreError) -> [PageEntry] {
    var entries: [PageEntry] = []
    let isResized = recorded.pageSize != present.pageSize
    pageSize = recorded.pageSize
    for page in 1...max(1, recorded.pageCount)
    where page != DatabaseChecksum.lockBytePage(pageSize: pageSize) {
      let crc = try recorded.crc(ofPage: page)
      if !isResized, page <= present.pageCount, try present.crc(ofPage: page) == crc { continue }
      try file.write(try recorded.copy(ofPage: page), at: offset(of: page))
      entries.append(
        PageEntry(
          page: page, storedBytes: UInt32(pageSize), crc: crc, offset: offset(of: page)))
    }
    pageCount = recorded.pageCount
    forgetEarlier()
    return entries
  }

  private static let pagesPerWrite = 256

  private func offset(of page: UInt32) -> Int64 { Int64(page - 1) * Int64(pageSize) }

  /// Pages are stored as they are, one behind the other.
  private func write(_ pages: CommitContent.PageBytes, from first: PageEntry, count: Int)
    throws(StoreError)
  {
    let bytes = count * pageSize
    switch pages {
    case .memory(let all):
      var result: Result<Void, StoreError> = .success(())
      all.withUnsafeBytes { raw in
        let piece = raw[Int(first.offset)..<Int(first.offset) + bytes]
        do throws(StoreError) {
          try file.write(UnsafeRawBufferPointer(rebasing: piece), at: offset(of: first.page))
        } catch {
          result = .failure(error)
        }
      }
      try result.get()
    case .scratch(let scratch, _):
      try file.write(try scratch.read(bytes, at: first.offset), at: offset(of: first.page))
    }
  }

  private func keep(_ page: UInt32, before commit: UInt64) throws(StoreError) {
    let bytes = try file.read(pageSize, at: offset(of: page))
    if scratch == nil { scratch = try fileSystem.scratchFile() }
    try scratch?.write(bytes, at: earlierBytes)
    earlier[page, default: []].append(Earlier(commit: commit, offset: earlierBytes))
    earlierBytes += Int64(pageSize)
  }

  /// What is there now is as recorded.
  func forgetEarlier() {
    mostPages = pageCount
    guard scratch != nil else { return }
    earlier = [:]
    scratch = nil
    earlierBytes = 0
  }

  /// Makes it durable, as long as the database is.
  func finish() throws(StoreError) {
    try file.resize(to: Int64(pageCount) * Int64(pageSize))
    try file.sync()
  }

  /// The database as it was behind `commit`, when it had `pageCount` pages.
  func pages(behind commit: UInt64, pageCount: UInt32) -> any DatabasePages {
    EarlierPages(self, commit, pageCount)
  }

  private final class EarlierPages: DatabasePages {
    private let replayed: ReplayedFile
    private let commit: UInt64
    let pageCount: UInt32
    var pageSize: Int { replayed.pageSize }

    init(_ replayed: ReplayedFile, _ commit: UInt64, _ pageCount: UInt32) {
      self.replayed = replayed
      self.commit = commit
      self.pageCount = pageCount
    }

    func read(page: UInt32, into buffer: UnsafeMutableRawBufferPointer) throws(StoreError) {
      let kept = replayed.earlier[page]?.first { $0.commit > commit }
      let (file, offset) =
        if let kept, let scratch = replayed.scratch { (scratch, kept.offset) } else {
          (replayed.file, replayed.offset(of: page))
        }
      let count = try file.read(into: buffer, at: offset)
      // The page with SQLite's lock byte may lie behind all that was written.
      buffer[count...].initializeMemory(as: UInt8.self, repeating: 0)
    }
  }
}
