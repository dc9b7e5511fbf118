internal import SluiceJournal
internal import SluiceShared

/// The checksums of a database's pages, commit by commit, and of the whole that follows from them.
struct ChecksumTrail {
  /// Of pages from 1 on.
  private var crcs: [UInt32]
  private var pageSize: UInt32
  /// What the pages give.
  private(set) var checksum: DatabaseChecksum
  /// What commits say, where one was found to say something else: of the two either goes on.
  private var said: DatabaseChecksum

  /// A checkpoint's. Throws where its checksums cannot be read.
  init(_ sidecar: CheckpointSidecar) throws(StoreError) {
    let header = sidecar.header
    pageSize = header.pageSize
    checksum = header.checksum
    said = header.checksum
    crcs = []
    for i in 0..<header.pageCount { crcs.append(try sidecar.crc(ofPage: i + 1)) }
  }

  private var lockByte: UInt32 { DatabaseChecksum.lockBytePage(pageSize: Int(pageSize)) }

  /// Adds a commit's pages; false where it says that the database has more of them than it can have. One that changes
  /// the page size begins anew.
  mutating func add(_ entries: [PageEntry], _ meta: CommitMeta) -> Bool {
    let pageCount = meta.pageCount
    if meta.pageSize != pageSize {
      pageSize = meta.pageSize
      crcs = []
      (checksum, said) = (DatabaseChecksum(), DatabaseChecksum())
    }
    // Every page between the old end and the new one is written, but the one with SQLite's lock byte.
    guard Int(pageCount) <= crcs.count + entries.count + 1 else { return false }
    while crcs.count > Int(pageCount), let crc = crcs.popLast() {
      toggle(UInt32(crcs.count) + 1, crc)
    }
    for entry in entries where entry.page >= 1 && entry.page <= pageCount {
      if Int(entry.page) <= crcs.count {
        toggle(entry.page, crcs[Int(entry.page) - 1])
      } else {
        // Only the page with SQLite's lock byte has no entry where the database grows over it.
        crcs += [UInt32](repeating: 0, count: Int(entry.page) - crcs.count)
      }
      crcs[Int(entry.page) - 1] = entry.crc
      toggle(entry.page, entry.crc)
    }
    if crcs.count < Int(pageCount) {
      crcs += [UInt32](repeating: 0, count: Int(pageCount) - crcs.count)
    }
    return true
  }

  private mutating func toggle(_ page: UInt32, _ crc: UInt32) {
    guard page != lockByte else { return }
    checksum.toggle(page: page, crc: crc)
    said.toggle(page: page, crc: crc)
  }

  /// Whether a commit says what its pages, or the commits before it, lead to. Behind a page that is not of
  /// this history the latter does, and behind a checksum that is not the former: each is told once.
  mutating func agrees(with checksum: DatabaseChecksum) -> Bool {
    let agrees = checksum == self.checksum || checksum == said
    said = checksum
    return agrees
  }
}
