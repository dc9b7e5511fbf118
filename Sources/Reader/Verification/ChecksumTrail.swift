internal import SluiceJournal
internal import SluiceShared

/// The checksums of a database's pages, commit by commit, and of the whole that follows from them.
struct ChecksumTrail {
  /// Of pages from 1 on.
  private var crcs: [UInt32]
  private let lockByte: UInt32
  private(set) var checksum: DatabaseChecksum

  /// A checkpoint's. Throws where its checksums cannot be read.
  init(_ sidecar: CheckpointSidecar) throws(StoreError) {
    let header = sidecar.header
    lockByte = DatabaseChecksum.lockBytePage(pageSize: Int(header.pageSize))
    checksum = header.checksum
    crcs = []
    crcs.reserveCapacity(Int(header.pageCount))
    for i in 0..<header.pageCount { crcs.append(try sidecar.crc(ofPage: i + 1)) }
  }

  /// Adds a commit's pages.
  mutating func add(_ entries: [PageEntry], pageCount: UInt32) {
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
  }

  private mutating func toggle(_ page: UInt32, _ crc: UInt32) {
    if page != lockByte { checksum.toggle(page: page, crc: crc) }
  }

  /// Goes on with what a commit says, where that was found to be another.
  mutating func accept(_ said: DatabaseChecksum) { checksum = said }
}
