package import SluiceShared
internal import Synchronization

/// The holder's half of the log's handshake, on the one segment that it holds.
///
/// For each commit: write the frame, read the mark, and only if that is still empty publish it in a
/// beacon. A claimant does the reverse: it writes the mark, then reads the frames. So at least one of
/// the two sees the other: what was confirmed here is in the claimant's history, and what the
/// claimant did not see is never confirmed.
///
/// Owned by one thread; `publish` may run beside the making of the next frame, not beside another
/// `publish`.
package final class LogHolder: @unchecked Sendable {
  // Sendable: `commit`, `finish` and the properties belong to the applier's thread; `publish` only
  // touches `counter` and `published`, which nothing else does, `writable`, which is atomic, and the file.
  package let header: LogSegmentHeader
  package let file: any File
  let environment: Environment
  let layout: StoreLayout
  private let start: StartRecord

  /// Confirmed: frames up to here are in the history for ever. It only ever grows.
  package private(set) var confirmed: LogPosition
  package private(set) var extent: LogExtent
  private var size: Int64
  private var counter: UInt64 = 0
  /// What the newest beacon here states. `published <= confirmed`, since a beacon is only sealed of what is
  /// confirmed; and it never goes back.
  private var published: LogPosition?
  /// What may still be written here; it only ever becomes less.
  private enum Writable: UInt8, AtomicRepresentable {
    case all
    /// A frame failed, and may still land, so that none is written here again.
    case beacons
    /// A beacon failed, or somebody has closed the segment.
    case nothing
  }

  private let writable = Atomic<Writable>(.all)
  /// The merged index of this segment's commits: the newest place of each page.
  private var merged: MergedPages
  /// Of this segment's commits the last one's description, and the fewest pages that the database
  /// had after any, 0 where one of them changed the page size that it found here; nil where commits were carried over, whose sizes are not known here.
  private var summary: (last: CommitMeta, fewestPages: UInt32)?
  private let carriedCommits: Bool

  init(
    header: LogSegmentHeader, file: any File, size: Int64, start: StartRecord,
    confirmed: LogPosition, merged: MergedPages, layout: StoreLayout, environment: Environment
  ) {
    self.header = header
    self.file = file
    self.size = size
    self.start = start
    self.confirmed = confirmed
    extent = start.carried
    self.merged = merged
    carriedCommits = !merged.isEmpty
    self.layout = layout
    self.environment = environment
  }

  /// Bytes left for frames.
  package var room: Int64 { size - confirmed.end }
  package var usedBytes: Int64 { confirmed.end }

  /// Writes a commit frame and confirms it: one write, one read. Throws `.notLeading` when a
  /// claimant closed the segment: then the commit is not in this holder's history, though it may be
  /// in the claimant's. Returns the pages' places in the segment. `onProgress` is called now and
  /// then while a large frame is written.
  package func commit(
    _ content: CommitContent, onProgress: () throws(StoreError) -> Void = {}
  ) throws(StoreError) -> [PageEntry] {
    try checkUsable()
    let place = FramePlace(
      offset: confirmed.end, nonce: header.nonce, previous: confirmed.checksum)
    let frameHeader = try writing { () throws(StoreError) in
      try write(content, at: place, onProgress)
    }
    if environment.makes(.markAfterFrame), environment.makes(.checkBeforePublishing) {
      try checkOpen()
    }
    let pages = frameHeader.section(.pages).map { frameHeader.offset + $0.offset } ?? 0
    let placed = content.entries.map { entry in
      PageEntry(
        page: entry.page, storedBytes: entry.storedBytes, crc: entry.crc,
        offset: pages + entry.offset)
    }
    note(content.meta)
    merged.add(placed)
    accept(frameHeader)
    extent = LogExtent(
      txid: TxID(frameHeader.first + UInt64(frameHeader.count) - 1), commits: content.meta.commit,
      time_ms: content.meta.time_ms)
    return placed
  }

  private func write(
    _ content: CommitContent, at place: FramePlace, _ onProgress: () throws(StoreError) -> Void
  ) throws(StoreError) -> FrameHeader {
    let before = size
    var mayBeWhole = false
    do throws(StoreError) {
      let length = content.mostBytes
      if place.offset + length > size {
        size = Block.roundUp(place.offset + length)
        try file.resize(to: size)
      }
      let header = try content.write(
        to: file, at: place, environment.commitSizes, mayBeWhole: &mayBeWhole, onProgress)
      try file.sync()
      return header
    } catch {
      if !mayBeWhole { giveBackRoom(before) }
      throw error
    }
  }

  /// What was written of a large frame that has no header counts for nobody, now or when more of it lands. On a
  /// full disk it may be all the room that there was, and nobody could begin a term. So it goes. What a claimant
  /// may take for a frame stays, whatever it is worth.
  private func giveBackRoom(_ before: Int64) {
    try? file.resize(to: confirmed.end)
    try? file.resize(to: before)
    size = before
  }

  /// Pages that a commit dropped are not in the merged index, also if the database grew again; nor is any page of
  /// another size.
  private func note(_ meta: CommitMeta) {
    guard !carriedCommits else { return }
    guard let (last, fewestPages) = summary else {
      summary = (meta, meta.pageCount)
      return
    }
    let isResized = meta.pageSize != last.pageSize
    if isResized || meta.pageCount < last.pageCount {
      merged.truncate(to: isResized ? 0 : meta.pageCount)
    }
    summary = (meta, isResized ? 0 : min(meta.pageCount, fewestPages))
  }

  /// Ends the segment in order: its merged page index, so that a reader that begins later needs no
  /// other frame of it. To be published before the next segment is claimed.
  ///
  /// With the index goes the last commit's `meta`, followed by the fewest pages (u32) that the
  /// database had after any commit here: what older segments say of pages beyond it is void, and all of it where
  /// that is 0. A
  /// segment with carried commits has no `meta` here, and is read commit by commit. The header and the start record
  /// are said once more, so that this frame is all that a reader needs (`LogSegment.finished`).
  package func finish() throws(StoreError) {
    try checkUsable()
    var sections = [
      SectionContent(.segmentHeader, raw: header.copied()),
      SectionContent(.start, raw: start.encoded()),
      SectionContent(.index, raw: PageEntry.encode(merged.entries)),
    ]
    if let summary {
      var meta = ByteWriter()
      meta.append(raw: summary.last.encoded())
      meta.append(summary.fewestPages)
      sections.append(SectionContent(.meta, raw: meta.bytes))
    }
    let frame = EncodedFrame(
      kind: .index, endsSegment: true, offset: confirmed.end, nonce: header.nonce,
      previous: confirmed.checksum, first: extent.txid.rawValue, count: 0,
      sections: sections)
    try writing { () throws(StoreError) in
      if confirmed.end + Int64(frame.bytes.count) > size {
        size = confirmed.end + Int64(frame.bytes.count)
        try file.resize(to: size)
      }
      try file.write(frame.bytes, at: frame.header.offset)
      try file.sync()
    }
    if environment.makes(.markAfterFrame) { try checkOpen() }
    accept(frame.header)
  }

  /// A beacon of what is confirmed now, to be written with `publish`.
  package func beacon(_ state: Beacon.State, _ status: ApplierStatus, time_ms: Int64)
    -> SealedBeacon
  {
    var beacon = Beacon(state: state, position: confirmed, extent: extent, time_ms: time_ms)
    beacon.status = status
    return SealedBeacon(beacon)
  }

  /// Writes a beacon into the slot whose turn it is; both slots on release.
  ///
  /// After one that failed no more: the slot that is due next holds the newest beacon that is sure to
  /// be there, and the failed one may leave the other slot as old as it was. After a frame that failed
  /// there may be another one. It lies elsewhere and states what was confirmed before, so whether the
  /// frame lands does not matter to it; and a term that a full device ends says so with it.
  @discardableResult
  package func publish(_ sealed: SealedBeacon) throws(StoreError) -> PublishedTxID {
    let position = sealed.content.position
    precondition(position.nonce == header.nonce, "a holder publishes what it confirmed itself")
    precondition(position.end >= published?.end ?? 0, "what is published never goes back")
    try checkUsable(forBeacon: true)
    for _ in 0..<(sealed.content.state == .released ? 2 : 1) {
      counter += 1
      var beacon = sealed.content
      beacon.counter = counter
      do throws(StoreError) {
        try file.write(beacon.encoded(), at: beacon.slot)
        if environment.makes(.syncBeacon) { try file.sync() }
      } catch {
        end()
        throw error
      }
    }
    if !environment.makes(.checkBeforePublishing) { try checkOpen() }
    published = position
    return PublishedTxID(written: sealed)
  }

  /// Reads the mark: throws `.notLeading` where somebody closed the segment.
  package func checkOpen() throws(StoreError) {
    if try Mark.isClosed(file) {
      end()
      throw StoreError(
        .notLeading, "another applier took over; this one stops writing", path: file.path)
    }
  }

  private func end() { writable.store(.nothing, ordering: .relaxed) }

  private func checkUsable(forBeacon: Bool = false) throws(StoreError) {
    let writable = writable.load(ordering: .relaxed)
    let isUsable = writable == .all || forBeacon && writable == .beacons
    guard isUsable || !environment.makes(.newSegmentAfterError) else {
      throw StoreError(
        .notLeading, "a write to this log segment failed before; it is not written again",
        path: file.path)
    }
  }

  private func writing<R>(_ body: () throws(StoreError) -> R) throws(StoreError) -> R {
    do throws(StoreError) { return try body() } catch {
      // A beacon beside it may have ended more.
      _ = writable.compareExchange(expected: .all, desired: .beacons, ordering: .relaxed)
      throw error
    }
  }

  private func accept(_ frame: FrameHeader) {
    precondition(frame.offset == confirmed.end, "what is confirmed grows without a gap")
    confirmed.end = frame.end
    confirmed.lastFrame = frame.offset
    confirmed.checksum = frame.checksum
  }
}

/// What a holder has confirmed, ready to be published. Only the holder makes one.
package struct SealedBeacon: Sendable {
  package let content: Beacon

  fileprivate init(_ content: Beacon) { self.content = content }
}

/// Where a frame goes and what it is chained to.
package struct FramePlace: Sendable {
  package var offset: Int64
  package var nonce: UInt64
  package var previous: UInt32

  package init(offset: Int64, nonce: UInt64, previous: UInt32) {
    self.offset = offset
    self.nonce = nonce
    self.previous = previous
  }
}
