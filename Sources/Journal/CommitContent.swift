package import SluiceShared

/// What goes into a commit frame.
package struct CommitContent: Sendable {
  package var first: TxID
  package var count: UInt32
  package var meta: CommitMeta
  /// Ascending by page, offsets counted from the first stored page.
  package var entries: [PageEntry]
  /// Encoded, as the section has them: `BatchOutcome.encode`, `ConsumedThrough.encode`.
  package var outcomes: [UInt8]
  package var consumed: [UInt8]
  /// The stored pages, in the order of `entries`.
  package var pages: PageBytes
  package var batches: SectionContent
  /// Writers forgotten in this commit, for a replay to forget too.
  package var pruned: [WriterID] = []

  /// Stored pages: in memory, or in a scratch file where a transaction is large.
  package enum PageBytes: Sendable {
    case memory([UInt8])
    case scratch(any File, bytes: Int64)

    package var count: Int64 {
      switch self {
      case .memory(let bytes): Int64(bytes.count)
      case .scratch(_, let bytes): bytes
      }
    }

    /// Nothing where they are in a file.
    package var inMemory: [UInt8] { if case .memory(let bytes) = self { bytes } else { [] } }
  }

  package init(
    first: TxID, count: UInt32, meta: CommitMeta, entries: [PageEntry], outcomes: [BatchOutcome],
    consumed: [ConsumedThrough], pages: PageBytes, batches: SectionContent
  ) {
    self.first = first
    self.count = count
    self.meta = meta
    self.entries = entries
    self.outcomes = BatchOutcome.encode(outcomes)
    self.consumed = ConsumedThrough.encode(consumed)
    self.pages = pages
    self.batches = batches
  }

  /// What comes out of `encode`d parts, where another process encoded them.
  package init(
    first: TxID, count: UInt32, meta: CommitMeta, entries: [PageEntry], outcomes: [UInt8],
    consumed: [UInt8], pages: PageBytes, batches: SectionContent, pruned: [WriterID]
  ) {
    self.first = first
    self.count = count
    self.meta = meta
    self.entries = entries
    self.outcomes = outcomes
    self.consumed = consumed
    self.pages = pages
    self.batches = batches
    self.pruned = pruned
  }

  /// The last batch's.
  package var last: TxID { TxID(first.rawValue + UInt64(count) - 1) }

  /// At least as many bytes as the frame takes.
  var mostBytes: Int64 {
    return Block.roundUp(
      4096 + Int64(entries.count * PageEntry.bytes) + Int64(outcomes.count + consumed.count)
        + Int64(pruned.count * 16)
        + pages.count + Int64(batches.stored.count)) + Int64(Block.size)
  }

  /// Writes the frame, in one piece where it is small, and does not sync. `mayBeWhole` becomes true before anything
  /// is written by which all of it may be there.
  func write(
    to file: any File, at place: FramePlace, _ sizes: CommitSizes, mayBeWhole: inout Bool,
    _ onProgress: () throws(StoreError) -> Void = {}
  ) throws(StoreError) -> FrameHeader {
    var head = [
      SectionContent(.meta, raw: meta.encoded()),
      SectionContent(.index, raw: PageEntry.encode(entries)),
      SectionContent(.outcomes, raw: outcomes),
      SectionContent(.consumed, raw: consumed),
    ]
    if !pruned.isEmpty {
      var writer = ByteWriter(reserving: pruned.count * 16)
      for id in pruned { writer.append(id) }
      head.append(SectionContent(.pruned, raw: writer.bytes))
    }
    switch pages {
    case .memory(let bytes) where bytes.count + batches.stored.count <= sizes.frameBytes:
      mayBeWhole = true
      let frame = EncodedFrame(
        kind: .commit, offset: place.offset, nonce: place.nonce, previous: place.previous,
        first: first.rawValue, count: count,
        sections: head + [SectionContent(.pages, raw: bytes), batches])
      try file.write(frame.bytes, at: place.offset)
      return frame.header
    case .memory(let bytes):
      return try stream(
        head, Int64(bytes.count), to: file, at: place, sizes, mayBeWhole: &mayBeWhole, onProgress
      ) { (place, count) in Array(bytes[Int(place)..<Int(place) + count]) }
    case .scratch(let scratch, let count):
      return try stream(
        head, count, to: file, at: place, sizes, mayBeWhole: &mayBeWhole, onProgress
      ) { (place, count) throws(StoreError) in try scratch.read(count, at: place) }
    }
  }

  /// A frame too large for one buffer: the pages first, piece by piece, the header last. Until that
  /// is there the frame is not whole, and the one sync comes after both.
  private func stream(
    _ head: [SectionContent], _ pageBytes: Int64, to file: any File, at place: FramePlace,
    _ sizes: CommitSizes, mayBeWhole: inout Bool, _ onProgress: () throws(StoreError) -> Void,
    read: (_ place: Int64, _ count: Int) throws(StoreError) -> [UInt8]
  ) throws(StoreError) -> FrameHeader {
    var sections: [FrameSection] = []
    let headerBytes = Int64(FrameHeader.fixedBytes + 24 * (head.count + 2) + 4)
    var position = headerBytes
    for section in head {
      sections.append(section.header(at: position))
      position += Int64(section.stored.count)
    }
    let pagesOffset = position
    var crc: UInt32 = 0
    var (done, unsynced) = (Int64(0), 0)
    while done < pageBytes {
      let piece = try read(done, Int(min(pageBytes - done, Int64(sizes.pieceBytes))))
      guard !piece.isEmpty else {
        throw StoreError(.io, "a scratch file is shorter than what was written")
      }
      crc = crc32c(piece, continuing: crc)
      try file.write(piece, at: place.offset + pagesOffset + done)
      done += Int64(piece.count)
      unsynced += piece.count
      if unsynced >= sizes.syncBytes {
        try file.sync()
        unsynced = 0
      }
      try onProgress()
    }
    sections.append(
      FrameSection(
        id: SectionID.pages.rawValue, codec: .raw, crc: crc, storedBytes: pageBytes,
        rawBytes: pageBytes, offset: pagesOffset))
    position += pageBytes
    try file.write(batches.stored, at: place.offset + position)
    sections.append(batches.header(at: position))
    position += Int64(batches.stored.count)
    let (bytes, checksum) = FrameHeader.encode(
      kind: .commit, offset: place.offset, nonce: place.nonce, previous: place.previous,
      first: first.rawValue, count: count, sections: sections)
    // One by one: the index of many pages is large, and need not be in memory twice.
    for (section, content) in zip(sections, head) {
      try file.write(content.stored, at: place.offset + section.offset)
    }
    mayBeWhole = true
    try file.write(bytes, at: place.offset)
    return FrameHeader(
      kind: .commit, endsSegment: false, headerBytes: Int(headerBytes), length: position,
      offset: place.offset, first: first.rawValue, count: count, previous: place.previous,
      sections: sections, checksum: checksum)
  }
}
