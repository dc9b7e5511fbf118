internal import CSQLite
internal import SluiceJournal
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared
internal import SluiceVFS

/// How a group becomes a commit: SQLite's COMMIT seals the pages that were changed; they are encoded; the frame
/// is written, durably, and the holder's mark read behind it; only then this session stands on them.
///
/// SQLite has committed before the frame is durable. Nobody sees that: the connection has no other reader, and
/// where the frame is not confirmed the session is thrown away, with the pages that it alone had. The next
/// one begins with what the log says, like one that begins after a crash.
extension Session {
  func finish(
    _ group: Group, _ end: Done, _ request: Request, _ write: @escaping Write
  ) throws(StoreError) -> Done {
    executing = nil
    onBatch(nil)
    guard !group.outcomes.isEmpty else {
      try rollback()
      return end
    }
    var done = end
    done.committed = UInt32(group.outcomes.count)
    done.grantsTurn = group.grantsTurn
    let batches: SectionContent
    if let frame = group.onlyFrame?.frame, group.onlyFrame?.isBroken == false {
      done.sharesFrame = true
      batches = frame.section
    } else {
      batches =
        request.recorded == nil
        ? SectionContent(.batches, group.bytes.bytes, compressor: compressor)
        : SectionContent(.batches, raw: group.bytes.bytes)
    }
    let committed = done
    let after = LogExtent(
      txid: TxID(group.nextTxID.rawValue - 1), commits: extent.commits + 1, time_ms: group.time_ms)
    let rejectedAfter = rejected + group.rejected
    let pruned = try bookkeeping { () throws(SQLiteError) in
      try tables.finish(after, rejected: rejectedAfter)
      var pruned = request.recorded?.pruned ?? []
      try tables.prune(pruned)
      if let withFiles = request.prunesBeside {
        pruned = try tables.writersToPrune(now_ms: group.time_ms, withFiles: withFiles)
        try tables.prune(pruned)
      }
      return pruned
    }
    let content = try content(of: group, batches, pruned, after, rejectedAfter)
    // From here on a disk that is full is the store's.
    usesScratch = false
    let (pages, segment) = try confirmed { () throws(StoreError) in try write(content, committed) }
    try database.adopt(
      snapshot.adding(
        entries: pages, in: segment, meta: content.meta, extent: after,
        stored: content.pages.inMemory))
    tables.committed()
    reserved.forget(content.entries)
    extent = after
    rejected = rejectedAfter
    mustReopen = mustReopen || run.takeMustReopen()
    return done
  }

  /// SQLite's COMMIT, and what it wrote as a commit of the log.
  private func content(
    of group: Group, _ batches: SectionContent, _ pruned: [WriterID], _ after: LogExtent,
    _ rejectedAfter: UInt64
  ) throws(StoreError) -> CommitContent {
    let dirty = try database.sealing { () throws(SQLiteError) in
      permissions.mode = .boundary
      defer { permissions.mode = .applier }
      do throws(SQLiteError) { try commitStatement.run() } catch {
        hasRefusedCommit =
          database.failure == nil
          && (error.isOfBatches || database.isLaidOver && error.primary == SQLITE_CORRUPT)
        throw error
      }
    }
    // The index of so many pages takes the room that the cache had.
    if dirty.scratchBytes > 0 { releaseMemory() }
    let snapshot = database.snapshot
    let encoded = try confirmed { () throws(StoreError) in
      try encoder.encode(dirty, over: snapshot, onProgress: run.onProgress)
    }
    let meta = CommitMeta(
      commit: after.commits, time_ms: after.time_ms, entropy: group.entropy,
      pageSize: UInt32(dirty.pageSize), pageCount: encoded.pageCount,
      checksum: encoded.checksum, rejected: rejectedAfter)
    var content = CommitContent(
      first: group.first, count: UInt32(group.outcomes.count), meta: meta,
      entries: encoded.entries, outcomes: group.outcomes,
      consumed: group.consumed.sorted { $0.key < $1.key }.map {
        ConsumedThrough(segment: $0.key, offset: $0.value)
      },
      pages: encoded.bytes,
      batches: batches)
    content.pruned = pruned
    return content
  }

  /// SQLite has committed what the log may not have: where `body` fails, nothing more is read or written here.
  private func confirmed<R>(_ body: () throws(StoreError) -> R) throws(StoreError) -> R {
    do throws(StoreError) { return try body() } catch {
      database.fail(error)
      throw error
    }
  }
}
