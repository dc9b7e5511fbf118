package import SluiceShared

/// The claimant's half of the log's handshake: takes over, or goes on in a new segment.
///
/// 1. The new segment is made complete as a temporary file and given its number by link(2), which
///    has exactly one winner; a lost reply is told by the nonce.
/// 2. `log/` is listed again: with a later segment there, or none before, this claim is abandoned.
/// 3. Every earlier segment, downwards, is marked closed, until one that has a start frame: the
///    parent. Only after its mark is durable is a segment read.
/// 4. What the parent holds behind its newest published position is carried over: the same commits
///    with the same TxIDs. Then comes the start frame, which names that published position.
/// 5. The claimant's own mark is read; empty, it publishes its beacon, and holds.
///
/// Carried commits may be ones that the old holder never confirmed; that is allowed, for nobody was
/// told anything of them, and their batches are in the journal or were. What the old holder did
/// confirm was durable before it read its mark empty, so before the mark was written, so before the
/// parent was read here: it is carried, or it lies before the published position.
package struct LogClaim {
  package let store: StoreHandle
  var layout: StoreLayout { store.layout }
  var environment: Environment { store.environment }
  /// Who claims, for people.
  package var holder: String
  package var engine: StartRecord.Engine
  package var segmentBytes = Limits.logSegmentBytes
  /// Whose open files are used; nil: all are opened anew.
  package var log: Log?
  /// The most by which this clock and the file server's may differ; nil: not compared.
  package var clockTolerance: Duration? = .seconds(60)

  package init(of store: StoreHandle, holder: String, engine: StartRecord.Engine) {
    self.store = store
    self.holder = holder
    self.engine = engine
  }

  package struct Won {
    package var holder: LogHolder
    /// The last beacon of the history that was taken over; nil in a new store.
    package var inherited: Beacon?
    /// With the holder's first beacon.
    package var published: PublishedTxID
  }

  /// Claims the successor of segment `observed`. nil: somebody else was faster. The caller publishes
  /// the first beacon through `firstBeacon`, which gets the inherited one.
  package func claim(
    successorOf observed: UInt64, rotating: Bool = false,
    firstBeacon: (LogHolder, Beacon?) -> SealedBeacon
  ) throws(StoreError) -> Won? {
    let log = log ?? Log(of: store)
    guard try log.listed().first ?? 0 == observed else { return nil }
    // Whoever would find out behind the link that it cannot take over leaves a segment with each try.
    if !rotating { guard try hasParent(observed, log) else { return nil } }
    let number = observed + 1
    let term = rotating ? 0 : 1
    var parentTerm: UInt64 = 0
    if observed > 0 {
      guard let segment = try log.open(observed) else { return nil }
      parentTerm = segment.header.term
    }
    let header = LogSegmentHeader(
      store: store.id, number: number, nonce: environment.random(),
      term: parentTerm + UInt64(term), created_ms: environment.clock.wallTime_ms(), holder: holder)
    guard let file = try link(header) else { return nil }

    let numbers = try log.listed()
    guard numbers.first == number, observed == 0 || numbers.count > 1 else { return nil }
    let parent: Parent?
    switch try closeDownwards(numbers.dropFirst(), log) {
    case .parent(let found): parent = found
    case .overtaken: return nil
    case .bottom:
      guard observed == 0 else {
        // A listing that took very long can miss the one that retention left and the one that came.
        if try log.listed().first != number { return nil }
        throw StoreError(
          .damaged, "no segment of the log has a start frame; restore the store from a backup",
          path: layout.log)
      }
      parent = nil
    }
    let won = try take(over: parent, header, file)
    if environment.makes(.markAfterStart), try Mark.isClosed(file) { return nil }
    let inherited = parent.flatMap { lastBeacon($0, log) }
    let published = try won.publish(firstBeacon(won, inherited))
    return Won(holder: won, inherited: inherited, published: published)
  }

  // MARK: 1 – the number

  func link(_ header: LogSegmentHeader) throws(StoreError) -> (any File)? {
    let fileSystem = environment.fileSystem
    let name = StoreLayout.logName(header.number)
    let path = "\(layout.log)/\(name)"
    let temporary = "\(layout.log)/\(StoreLayout.temporaryName(name, header.nonce))"
    defer { try? fileSystem.unlink(temporary) }
    let file: any File
    do throws(StoreError) { file = try fileSystem.create(temporary, mode: 0o644) } catch {
      // Nobody else has this nonce: it is the answer to a request sent again. The next try has
      // another name.
      guard error.isExistingFile else { throw error }
      return nil
    }
    do throws(StoreError) {
      try file.resize(to: segmentBytes)
      try file.write(header.encoded(), at: Block.header)
      try file.sync()
      try compareClocks(file, begun_ms: header.created_ms)
      if !environment.makes(.claimByLink) { try? fileSystem.unlink(path) }
      try fileSystem.link(temporary, to: path)
    } catch {
      // Removed by a later holder, who has this number or a higher one; or lost with the file
      // server's power.
      if error.isGone { return nil }
      // EEXIST may be the answer to a retried request whose first try succeeded.
      guard error.isExistingFile else { throw error }
      guard let taken = try? LogSegment(path: path, store: store.id, environment: environment),
        taken.header.nonce == header.nonce
      else { return nil }
    }
    if environment.makes(.syncLogDirectory) { try fileSystem.syncDirectory(layout.log) }
    do throws(StoreError) { return try fileSystem.open(path, .write) } catch {
      // Already superseded and moved.
      guard error.isNoSuchFile else { throw error }
      return nil
    }
  }

  /// The file was written at some time between `begun_ms` and now; that may be long where the file
  /// server is slow.
  private func compareClocks(_ file: any File, begun_ms: Int64) throws(StoreError) {
    guard let tolerance_ms = clockTolerance?.wholeMilliseconds else { return }
    let server = try file.status().modified_ms
    let here = environment.clock.wallTime_ms()
    guard server < min(begun_ms, here) - tolerance_ms || server > max(begun_ms, here) + tolerance_ms
    else { return }
    throw StoreError(
      .wrongClock,
      "this host's clock says \(timestamp(here)), the file server's \(timestamp(server)); set the clock, then start the applier again"
    )
  }

  // MARK: 3 – the parent

  struct Parent {
    var segment: LogSegment
    /// The segment's own beacon; nil where its holder never published.
    var beacon: Beacon?
    /// The newest published position in the parent's history; nil where nothing ever was.
    var published: LogPosition?
    /// How far that goes.
    var extent: LogExtent
    /// The frames behind it, in order.
    var unpublished: [WholeFrame]
  }

  /// The newest beacon in the parent's history. Where its holder died before its first one, that is of
  /// the segment whose published position it took over; what is known of batches that end appliers must
  /// not go with such a holder.
  private func lastBeacon(_ parent: Parent, _ log: Log) -> Beacon? {
    if let beacon = parent.beacon { return beacon }
    // nil where retention has moved it meanwhile: then somebody has published since.
    guard let position = parent.published, let segment = try? log.open(position.segment),
      segment.header.nonce == position.nonce
    else { return nil }
    return try? segment.control().beacon
  }

  private enum Descent {
    case parent(Parent)
    /// A segment is gone. Retention moves only what is below a segment with a beacon, and there was
    /// none between this claim's and the one that is gone: so there is one above this claim's.
    case overtaken
    /// None has a start frame.
    case bottom
  }

  /// Marks the segments `numbers`, newest first, until one that has a start frame.
  private func closeDownwards(_ numbers: some Collection<UInt64>, _ log: Log) throws(StoreError)
    -> Descent
  {
    var mayMark = true
    for number in numbers {
      let path = "\(layout.log)/\(StoreLayout.logName(number))"
      var early: Parent?
      if !environment.makes(.markBeforeReading), let segment = try log.open(number) {
        early = try read(segment)
      }
      let isMarked = mayMark
      if isMarked {
        let file: any File
        do throws(StoreError) {
          file = try environment.fileSystem.open(path, .write)
        } catch {
          guard error.isNoSuchFile else { throw error }
          return .overtaken
        }
        try Mark.write(to: file, by: holder, time_ms: environment.clock.wallTime_ms())
        mayMark = environment.makes(.markDownToStart)
      }
      guard let segment = try log.openAnew(number) else { return .overtaken }
      if early == nil { early = try read(segment, mustBeClosed: isMarked) }
      if let parent = early {
        if parent.beacon == nil, !environment.makes(.parentByStart) { continue }
        return .parent(parent)
      }
    }
    return .bottom
  }

  /// Reads what a closed segment holds behind its newest published position; nil where it has no start frame.
  ///
  /// What is published was durable before its beacon was, and is somebody else's to read: of a large segment
  /// that would take seconds. Damage there is met, and named, by whoever opens the database.
  ///
  /// What is read must be the file that was marked. A number that was taken by somebody who died and
  /// whose link was not durable, though it was seen, is free again when the file server has lost its
  /// power, and another file may have it.
  func read(_ segment: LogSegment, mustBeClosed: Bool = false) throws(StoreError) -> Parent? {
    let control = try segment.control()
    guard control.isClosed || !mustBeClosed else {
      throw StoreError(
        .notLeading,
        "the log segment that was marked is not the one that is read; this applier stands back",
        path: segment.file.path)
    }
    // Passed over for want of a start frame, it would take what it published with it.
    guard !control.isTruncated else { throw segment.truncated() }
    let beacon = control.beacon
    var chain =
      beacon.map {
        FrameChain(segment.scanner(), from: $0.position.end, after: $0.position.checksum)
      } ?? segment.frames()
    chain.scanner.readAhead = 1 << 20
    var frames: [WholeFrame] = []
    var start: StartRecord?
    while let frame = try chain.nextWhole() {
      if frame.header.kind == .start, start == nil {
        start = try chain.scanner.startRecord(of: frame.header)
      }
      frames.append(frame)
    }
    if let beacon {
      return Parent(
        segment: segment, beacon: beacon, published: beacon.position, extent: beacon.extent,
        unpublished: frames)
    }
    guard let start else { return nil }
    return Parent(
      segment: segment, beacon: nil, published: start.parent, extent: start.inherited,
      unpublished: frames)
  }

  // MARK: 4 – carrying over

  private func take(over parent: Parent?, _ header: LogSegmentHeader, _ file: any File)
    throws(StoreError) -> LogHolder
  {
    let block = header.encoded()
    var place = FramePlace(
      offset: Block.firstLogFrame, nonce: header.nonce,
      previous: block.withUnsafeBytes { SealedBlock.checksum(of: $0) })
    var extent = parent?.extent ?? .empty
    let inherited = extent
    var merged = MergedPages()
    var size = segmentBytes

    if let parent {
      let carried = parent.unpublished.filter {
        $0.header.kind == .commit && $0.header.first > inherited.txid.rawValue
      }
      let needed = carried.reduce(place.offset) { $0 + Block.roundUp($1.header.length) }
      if needed + (1 << 20) > size {
        size = needed + (1 << 20)
        try file.resize(to: size)
      }
      var scanner = parent.segment.scanner()
      for frame in carried {
        let copy: (header: FrameHeader, extent: LogExtent, pages: [PageEntry])
        do throws(StoreError) { copy = try carry(frame, &scanner, to: file, at: place) } catch {
          giveBackRoom(file)
          throw error
        }
        place.offset = copy.header.end
        place.previous = copy.header.checksum
        extent = copy.extent
        merged.add(copy.pages)
      }
    }

    let record = StartRecord(
      parent: parent?.published, inherited: inherited, carried: extent, engine: engine)
    let start = try writeStart(record, to: file, at: place)
    return LogHolder(
      header: header, file: file, size: size, start: record,
      confirmed: LogPosition(start, in: header), merged: merged, layout: layout,
      environment: environment)
  }

  /// A segment without a start frame is nobody's parent, so what was carried into it is for nobody. On a full disk
  /// it may be all the room that there was, and each try would take as much.
  private func giveBackRoom(_ file: any File) {
    try? file.resize(to: Block.firstLogFrame)
    try? file.resize(to: segmentBytes)
  }

  func writeStart(_ record: StartRecord, to file: any File, at place: FramePlace)
    throws(StoreError) -> FrameHeader
  {
    let start = EncodedFrame(
      kind: .start, offset: place.offset, nonce: place.nonce, previous: place.previous,
      first: record.carried.txid.rawValue, count: 0,
      sections: [SectionContent(.start, raw: record.encoded())])
    try file.write(start.bytes, at: place.offset)
    try file.sync()
    return start.header
  }

  /// Writes a commit again: the same sections, chained into this segment.
  private func carry(
    _ whole: WholeFrame, _ scanner: inout FrameScanner, to file: any File, at place: FramePlace
  ) throws(StoreError) -> (header: FrameHeader, extent: LogExtent, pages: [PageEntry]) {
    let frame = whole.header
    let (bytes, checksum) = FrameHeader.encode(
      kind: .commit, offset: place.offset, nonce: place.nonce, previous: place.previous,
      first: frame.first, count: frame.count, sections: frame.sections)
    var copy = frame
    copy.offset = place.offset
    copy.previous = place.previous
    copy.checksum = checksum
    copy.headerBytes = bytes.count
    for section in frame.sections {
      guard try copySection(section, of: frame, scanner.file, to: file, at: place.offset) else {
        throw changed(frame, scanner.file)
      }
    }
    try file.write(bytes, at: place.offset)
    guard let metaBytes = try scanner.section(.meta, of: frame, limit: 1 << 20),
      let meta = try? CommitMeta(decoding: metaBytes),
      let index = try scanner.section(.index, of: frame, limit: Limits.commitBytes),
      let pagesOffset = copy.section(.pages)?.offset,
      let pages = try? PageEntry.decode(index, base: place.offset + pagesOffset)
    else {
      scanner.invalidate()
      guard try scanner.isWhole(frame) else { throw changed(frame, scanner.file) }
      throw StoreError(
        .damaged,
        "a commit to be carried over is not what a commit is, though its checksums are right; restore this file from a backup",
        path: scanner.file.path, offset: frame.offset)
    }
    let extent = LogExtent(
      txid: TxID(frame.first + UInt64(frame.count) - 1), commits: meta.commit,
      time_ms: meta.time_ms)
    return (copy, extent, pages)
  }
}

extension LogClaim {
  /// Copies a section's bytes; false where they are not, or no longer, what the header says. Nothing
  /// of a frame is believed that was not compared with its checksum on the way.
  private func copySection(
    _ section: FrameSection, of frame: FrameHeader, _ source: any File, to file: any File,
    at offset: Int64
  ) throws(StoreError) -> Bool {
    var crc: UInt32 = 0
    var done: Int64 = 0
    while done < section.storedBytes {
      let piece = try source.read(
        Int(min(section.storedBytes - done, 1 << 20)), at: frame.offset + section.offset + done)
      guard !piece.isEmpty else { return false }
      crc = piece.withUnsafeBytes { crc32c($0, continuing: crc) }
      try file.write(piece, at: offset + section.offset + done)
      done += Int64(piece.count)
    }
    return crc == section.crc || !environment.makes(.wholeLogFrames)
  }

  /// It was whole a moment ago: the file server lost power before it was durable.
  private func changed(_ frame: FrameHeader, _ file: any File) -> StoreError {
    StoreError(
      .notLeading, "a commit to be carried over changed while it was read; this claim is given up",
      path: file.path, offset: frame.offset)
  }
}
