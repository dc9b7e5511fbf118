internal import SluiceJournal
internal import SluiceShared

/// The pages in one segment of the log.
///
/// While the segment is the newest, it is read past the caches, by blocks. Later nobody adds to it any more, and
/// on NFS a descriptor opened then may use the page cache. Where that is wrong all the same, the
/// page's checksum says so, and the page is read again past the caches.
final class SegmentPages: Sendable {
  let segment: LogSegment
  private let files: StoreFiles
  /// For reading when the segment is no longer the newest.
  private let settled = Monitor<(any File)?>(nil)
  /// For reading while it is.
  private let recent = RecentBlocks()

  init(_ segment: LogSegment, _ files: StoreFiles) {
    self.segment = segment
    self.files = files
  }

  /// Fills `page`. Throws `.damaged` with file and offset, or `.snapshotExpired`.
  func read(
    _ entry: PageIndex.Entry, isNewest: Bool, into page: UnsafeMutableRawBufferPointer
  ) throws(StoreError) {
    let place = StoredPage(offset: entry.offset, stored: Int(entry.stored), crc: entry.crc)
    let file = isNewest ? segment.file : settledFile()
    let known = isNewest && segment.isOfLog ? recent : nil
    let isRead = try? place.read(
      from: file, keepingIn: known, into: page, checked: files.checksPages)
    if isRead == true { return }
    recent.removeAll()
    let fresh = try files.reopen(segment)
    do throws(StoreError) {
      if try place.read(from: fresh, into: page, checked: files.checksPages) { return }
    } catch {
      guard error.isRemoval else { throw error }
      throw files.expired(fresh.path)
    }
    throw StoreError(
      .damaged,
      "page \(entry.page) in the log is damaged; restore this file from a backup, or the database from before it",
      path: fresh.path, offset: entry.offset)
  }

  /// The bytes at `offset` as they are, which nothing is believed of; how many there are, none where they cannot be read.
  func readUnchecked(
    at offset: Int64, isNewest: Bool, into bytes: UnsafeMutableRawBufferPointer
  ) -> Int {
    let file = isNewest ? segment.file : settledFile()
    return (try? file.read(into: bytes, at: offset)) ?? 0
  }

  /// What somebody else has read of it, past the caches and up to where it is published.
  func keep(_ bytes: [UInt8], at offset: Int64) {
    if segment.isOfLog { recent.keep(bytes, at: offset) }
  }

  /// Two that ask at once may both open it; the lock is not held while the file server is asked.
  private func settledFile() -> any File {
    if let known = settled.withLock({ $0 }) { return known }
    var file = segment.file
    let fileSystem = files.environment.fileSystem
    if (try? fileSystem.isNetwork(file.path)) == true {
      // What has its name by now may be a late claimant's.
      if let named = try? fileSystem.open(file.path, .fixed),
        (try? segment.isSame(as: named)) == true
      {
        file = named
      }
    }
    recent.removeAll()
    return settled.withLock { settled in
      settled = settled ?? file
      return settled ?? file
    }
  }
}
