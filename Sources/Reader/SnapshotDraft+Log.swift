internal import SluiceJournal
internal import SluiceShared

/// How a snapshot is made from a checkpoint and the log behind it.
extension SnapshotDraft {
  /// The published present, or what it was at `point` before that, from the newest checkpoint on. Throws
  /// `.snapshotExpired` where retention removed something in the meantime: begin anew.
  static func building(
    _ log: Log, upTo present: Log.Present, asOf point: HistoryPoint? = nil,
    except damaged: Set<TxID> = [], _ files: StoreFiles
  ) throws(StoreError) -> SnapshotDraft {
    var draft = SnapshotDraft(
      try CheckpointPages.newest(upTo: present.extent.txid, asOf: point, except: damaged, files))
    for span in try log.history(after: draft.extent.txid, upTo: present, byLastFrames: true) {
      if draft.stands(at: point) { return draft }
      if try draft.addMergedIndex(of: span, asOf: point, files.environment) { continue }
      guard try draft.addCommits(of: span, asOf: point, files.environment) else { return draft }
    }
    try draft.checkComplete(present, files.environment)
    return draft
  }

  /// No later commit can be part of what is asked for, so none need be readable.
  private func stands(at point: HistoryPoint?) -> Bool {
    if case .txid(let txid)? = point { extent.txid == txid } else { false }
  }

  /// Throws `.damaged` where the log ended before what its beacon says.
  func checkComplete(_ present: Log.Present, _ environment: Environment) throws(StoreError) {
    guard extent.txid < present.extent.txid, environment.makes(.damageIsNoEnd) else { return }
    throw StoreError(
      .damaged,
      "the log goes to batch \(extent.txid), its beacon says \(present.extent.txid); restore this file from a backup",
      path: present.segment.file.path, offset: present.beacon.position.end)
  }

  /// Adds a segment that was finished in order by the index at its end, which says the newest place
  /// of each page; false where it was not.
  ///
  /// Where the checkpoint lies inside of the segment, the index also holds pages of commits before
  /// it. They are no later than the checkpoint's own, and no commit between the two changed them, so
  /// they have the same content. Where the segment goes on behind `point`, its index says nothing of the
  /// pages as of then.
  private mutating func addMergedIndex(
    of span: Log.Span, asOf point: HistoryPoint?, _ environment: Environment
  ) throws(StoreError) -> Bool {
    var scanner = span.segment.scanner()
    if let read = span.lastFrameRead { scanner.take(read, at: span.lastFrame) }
    scanner.readAhead = Int(min(span.end - span.lastFrame, Limits.lastFrameReadBytes))
    for _ in 0..<2 {
      guard let frame = try scanner.header(at: span.lastFrame), frame.kind == .index,
        let metaBytes = try scanner.section(.meta, of: frame, limit: 1 << 20),
        let meta = try? CommitMeta(decoding: metaBytes),
        let fewestPages = fewestPages(metaBytes),
        let index = try scanner.section(.index, of: frame, limit: Limits.commitBytes),
        let entries = try? PageEntry.decode(index, base: 0),
        isWhole(entries, meta, fewestPages: fewestPages)
      else {
        scanner.invalidate()
        continue
      }
      let extent = LogExtent(
        txid: TxID(frame.first), commits: meta.commit, time_ms: meta.time_ms)
      if let point, !point.includes(extent), environment.makes(.indexOfThatTime) { return false }
      add(entries, in: span.segment, meta, extent, fewestPages: fewestPages)
      return true
    }
    return false
  }

  /// What `LogHolder.finish` writes behind the last commit's description, which has 72 bytes.
  private func fewestPages(_ metaBytes: [UInt8]) -> UInt32? {
    metaBytes.withUnsafeBytes {
      var reader = ByteReader($0)
      guard (try? reader.take(72)) != nil else { return nil }
      return try? reader.integer(UInt32.self)
    }
  }

  /// Adds a segment commit by commit; false where it came to one behind `point`. Those that were seen
  /// before (in the checkpoint, or published earlier in another segment) say the same and are passed over.
  private mutating func addCommits(
    of span: Log.Span, asOf point: HistoryPoint?, _ environment: Environment
  ) throws(StoreError) -> Bool {
    var cursor = LogCursor(span.segment, to: span.end, environment: environment)
    while !stands(at: point), let header = try cursor.next() {
      guard header.kind == .commit else { continue }
      let commit = try cursor.commit(header)
      if let point, !point.includes(commit.extent) { return false }
      try add(commit, &cursor)
    }
    return !stands(at: point)
  }

  /// Adds the commit that `cursor` stands behind, unless it is in the snapshot already.
  mutating func add(_ commit: Commit, _ cursor: inout LogCursor) throws(StoreError) {
    guard commit.last > extent.txid else { return }
    guard commit.first == extent.txid.next else {
      throw StoreError(
        .damaged,
        "the log goes from batch \(extent.txid) to \(commit.first); a segment is missing or not this store's",
        path: cursor.segment.file.path, offset: commit.header.offset)
    }
    let entries = try cursor.pages(of: commit.header)
    guard isWhole(entries, commit.meta) else {
      throw StoreError(
        .damaged,
        "commit \(commit.meta.commit) changes the page size and has not all pages of the database; restore the store from a backup",
        path: cursor.segment.file.path, offset: commit.header.offset)
    }
    add(entries, in: cursor.segment, commit.meta, commit.extent)
  }
}
