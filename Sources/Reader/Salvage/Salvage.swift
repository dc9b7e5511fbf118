package import SluiceJournal
package import SluiceShared

/// The latest state of a database that can be had from what is left of its checkpoints and its log.
///
/// Each page is compared with its checksum, and all of them with the database's checksum of their commit:
/// what is returned is a state that the history had. Reads only; nobody must lead meanwhile.
package struct Salvage {
  let log: SalvagedLog
  private let files: StoreFiles
  private let checkpoints: [TxID]

  package init(of store: StoreHandle) throws(StoreError) {
    log = try SalvagedLog(of: store)
    files = StoreFiles(of: store)
    let lines = try BegunLines(store.layout, store.fileSystem)
    let listing = CheckpointListing(
      try store.fileSystem.listed(ifThere: store.layout.checkpoints))
    checkpoints = listing.whole.filter { lines.include($0) }.reversed()
    latest = try log.latest()
    logEnd = latest.txid
    // One half of a checkpoint shows that much, too.
    for txid in listing.whole + listing.databasesAlone + listing.sidecarsAlone
    where lines.include(txid) {
      latest.txid = max(latest.txid, txid)
    }
  }

  /// How far the history went, as far as anything that is left shows. Each of the three by itself.
  package private(set) var latest: LogExtent
  /// How far the log goes that is left.
  package let logEnd: TxID
  /// The first segment of the line that a repair has begun last; nil where there was none, or that is gone.
  package var lineSegment: UInt64? {
    log.segments.first.flatMap { $0.start?.beginsLine ?? false ? $0.segment.number : nil }
  }
  /// Of the newest segment that has one.
  package var lastBeacon: Beacon? { log.segments.last { $0.beacon != nil }?.beacon }
  package var lastTerm: UInt64 { log.segments.map(\.segment.header.term).max() ?? 0 }

  /// The latest state that is whole; nil where no checkpoint is. `onProgress` is told bytes of pages read.
  package func state(onProgress: (Int) -> Void = { _ in }) throws(StoreError) -> Snapshot? {
    var best: Snapshot?
    for txid in checkpoints {
      do throws(StoreError) {
        let base = try CheckpointPages(txid, files)
        for draft in try drafts(from: base)
        where draft.extent.txid > best?.txid ?? .zero || best == nil {
          let snapshot = draft.snapshot()
          guard try isWhole(snapshot, onProgress) else { continue }
          best = snapshot
          break
        }
      } catch {
        guard error.isRemoval || SalvagedLog.isOfContent(error) else { throw error }
      }
      // An earlier base can only lead further where a later one is damaged.
      if let best, best.txid >= latest.txid { break }
    }
    return best
  }

  /// What the log makes of a checkpoint, the latest first: with a page that is damaged in some commit, which a
  /// later one may have written again, and without it.
  private func drafts(from base: CheckpointPages) throws(StoreError) -> [SnapshotDraft] {
    var draft = SnapshotDraft(base)
    var beforeDamage: SnapshotDraft?
    for one in log.segments {
      guard try add(one, to: &draft, &beforeDamage) else { break }
    }
    return [draft, beforeDamage, SnapshotDraft(base)].compactMap { $0 }
  }

  /// False where the history cannot be followed any further.
  private func add(
    _ one: SalvagedLog.Segment, to draft: inout SnapshotDraft, _ beforeDamage: inout SnapshotDraft?
  ) throws(StoreError) -> Bool {
    var survey = SegmentSurvey(one.segment, end: one.end)
    while let found = try survey.next() {
      guard case .frame(let frame, _) = found, frame.kind == .commit else { continue }
      guard frame.first + UInt64(frame.count) - 1 > draft.extent.txid.rawValue else { continue }
      let parts = try survey.parts(of: frame)
      guard frame.first == draft.extent.txid.next.rawValue, let meta = parts.meta,
        let entries = parts.entries, draft.isWhole(entries, meta)
      else { return false }
      if beforeDamage == nil,
        try !survey.damagedPages(entries, pageSize: Int(meta.pageSize)).isEmpty
      {
        beforeDamage = draft
      }
      draft.add(
        entries, in: one.segment, meta,
        LogExtent(
          txid: TxID(frame.first + UInt64(frame.count) - 1), commits: meta.commit,
          time_ms: meta.time_ms))
    }
    return true
  }

  private func isWhole(_ snapshot: Snapshot, _ onProgress: (Int) -> Void) throws(StoreError) -> Bool
  {
    let page = UnsafeMutableRawBufferPointer.allocate(
      byteCount: snapshot.pageSize, alignment: Block.size)
    defer { page.deallocate() }
    let lockByte = DatabaseChecksum.lockBytePage(pageSize: snapshot.pageSize)
    var checksum = DatabaseChecksum()
    for number in stride(from: 1, through: snapshot.pageCount, by: 1) {
      do throws(StoreError) { try snapshot.read(page: number, into: page) } catch {
        guard SalvagedLog.isOfContent(error) || error.isRemoval else { throw error }
        return false
      }
      if number != lockByte {
        checksum.toggle(page: number, crc: crc32c(UnsafeRawBufferPointer(page)))
      }
      onProgress(page.count)
    }
    return checksum == snapshot.checksum
  }
}

extension Salvage {
  /// The last segment that holds anything is closed, which one is only when its successor has its name, and
  /// that is not among those `listed`.
  package func lacksSuccessor(of listed: Set<UInt64>) throws(StoreError) -> Bool {
    guard let last = log.segments.last?.segment, !listed.contains(last.number + 1),
      try last.control().isClosed
    else { return false }
    return try Mark.isWhole(last.file)
  }

  /// The last segment that begins no later than behind `txid`; 0 where none does.
  package func segment(holding txid: TxID) -> UInt64 {
    log.segments.last { $0.start.map { $0.inherited.txid <= txid } ?? false }?.segment.number ?? 0
  }

  /// What the commit that ends with batch `txid` says of the whole database; nil where it cannot be read.
  package func checksum(of txid: TxID) throws(StoreError) -> DatabaseChecksum? {
    for one in log.segments.reversed() {
      var survey = SegmentSurvey(one.segment, end: one.end)
      while let found = try survey.next() {
        guard case .frame(let frame, _) = found, frame.kind == .commit,
          frame.first + UInt64(frame.count) - 1 == txid.rawValue
        else { continue }
        return try survey.parts(of: frame).meta?.checksum
      }
    }
    return nil
  }
}
