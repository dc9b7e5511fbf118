package import SluiceShared

/// Follows the published history commit by commit from where it began, across segments.
///
/// Commits are known by their TxIDs. One that was carried over into a later segment, or was published
/// late in an earlier one, may be met again; it says the same, and is passed over.
package struct LogFollower {
  package private(set) var extent: LogExtent
  private var segment: LogSegment?
  private var offset: Int64 = 0
  private var checksum: UInt32 = 0

  /// Begins behind `extent`, wherever that is.
  package init(after extent: LogExtent) { self.extent = extent }

  /// Begins at the present, as it was just read.
  package init(at present: Log.Present) {
    extent = present.extent
    segment = present.segment
    offset = present.beacon.position.end
    checksum = present.beacon.position.checksum
  }

  /// Where it goes on in `segment`; nil where it stands in another one.
  func place(in segment: LogSegment) -> Int64? {
    self.segment === segment || self.segment?.header == segment.header ? offset : nil
  }

  /// Calls `body` with each commit published since, in order, and the cursor to read more of it. Where
  /// `body` throws, the next call begins with the same commit.
  package mutating func advance(
    _ log: Log, to present: Log.Present,
    _ body: (Commit, inout LogCursor) throws(StoreError) -> Void
  ) throws(StoreError) {
    do throws(StoreError) { try follow(log, to: present, body) } catch {
      // What is open here may have been removed by another host.
      if error.isLostOpen || error.isStaleHandle { log.forgetFiles() }
      throw error
    }
  }

  private mutating func follow(
    _ log: Log, to present: Log.Present,
    _ body: (Commit, inout LogCursor) throws(StoreError) -> Void
  ) throws(StoreError) {
    if let segment, segment === present.segment || segment.header == present.segment.header {
      var cursor = LogCursor(
        present.segment, from: offset, checksum: checksum, to: present.beacon.position.end,
        environment: log.environment)
      if let read = present.read, read.offset == offset { cursor.begin(with: read.bytes) }
      try walk(cursor, body)
      return
    }
    guard present.extent.txid >= extent.txid else { return }
    for span in try log.history(after: extent.txid, upTo: present) {
      let cursor: LogCursor
      if let segment, segment.header == span.segment.header {
        // Seen further than its successor names: a late publication, carried over there.
        guard offset < span.end else { continue }
        cursor = LogCursor(
          span.segment, from: offset, checksum: checksum, to: span.end,
          environment: log.environment)
      } else {
        cursor = LogCursor(span.segment, to: span.end, environment: log.environment)
      }
      try walk(cursor, body)
    }
  }

  private mutating func walk(
    _ start: LogCursor, _ body: (Commit, inout LogCursor) throws(StoreError) -> Void
  ) throws(StoreError) {
    var cursor = start
    while let header = try cursor.next() {
      if header.kind == .commit {
        let commit = try cursor.commit(header)
        if commit.last > extent.txid {
          guard commit.first == extent.txid.next else {
            throw StoreError(
              .damaged,
              "the log goes from batch \(extent.txid) to \(commit.first); a segment is missing or not this store's",
              path: cursor.segment.file.path, offset: header.offset)
          }
          try body(commit, &cursor)
          extent = commit.extent
        }
      }
      segment = cursor.segment
      offset = cursor.offset
      checksum = cursor.checksum
    }
    if segment == nil || segment !== cursor.segment {
      segment = cursor.segment
      offset = cursor.offset
      checksum = cursor.checksum
    }
  }
}
