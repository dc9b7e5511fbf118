package import SluiceShared

/// A log segment's part of the history, in a file of its own outside of the store.
///
/// The copy has the segment's header and the frames up to a published position, byte for byte; behind
/// them nothing. Its beacon is made for it: *released*, since nobody leads a copy, and stating just that
/// position. So the copy is read, and can be gone on from, like any segment. It becomes longer as a
/// segment does: frames, durably, then the beacon. Whoever reads it meanwhile, or after a crash in between,
/// sees what the last whole beacon states.
package struct LogSegmentCopy: Sendable {
  package let source: LogSegment
  /// What the copy publishes.
  package let beacon: Beacon
  private let environment: Environment
  private static let pieceBytes = 4 << 20

  package var number: UInt64 { source.number }
  /// The file's length.
  package var byteCount: Int64 { beacon.position.end }
  package var name: String { StoreLayout.logName(number) }

  /// `span` of the history, which goes to `extent` there. `status`: what the segment's holder last said.
  package init(
    _ span: Log.Span, extent: LogExtent, status: ApplierStatus, time_ms: Int64,
    _ environment: Environment
  ) {
    source = span.segment
    var beacon = Beacon(
      state: .released, position: span.position, extent: extent, time_ms: time_ms)
    beacon.status = status
    // Of what waited nothing is in a copy.
    beacon.status.attempts = []
    beacon.status.uncleanTerms = 0
    beacon.status.backlogBatches = 0
    beacon.status.backlogBytes = 0
    beacon.status.oldest_ms = 0
    self.beacon = beacon
    self.environment = environment
  }

  /// Blocks 0 to 3. `closer` closes it, where a later segment goes on.
  package func head(closedBy closer: String?) throws(StoreError) -> [UInt8] {
    var head = ByteWriter(reserving: 4 * Block.size)
    if let closer {
      head.append(raw: Mark.block(by: closer, time_ms: environment.clock.wallTime_ms()))
    } else {
      head.append(raw: [UInt8](repeating: 0, count: Block.size))
    }
    head.append(raw: try source.file.read(Block.size, at: Block.header))
    // The slots, even and odd.
    for counter: UInt64 in [2, 1] { head.append(raw: encoded(counter)) }
    guard head.count == 4 * Block.size else { throw source.truncated() }
    return head.bytes
  }

  private func encoded(_ counter: UInt64) -> [UInt8] {
    var beacon = beacon
    beacon.counter = counter
    return beacon.encoded()
  }

  /// Passes the bytes from `offset` to the end to `body`, in pieces. They are as they lie in the segment:
  /// prove them.
  package func read(from offset: Int64, _ body: ([UInt8], Int64) throws(StoreError) -> Void)
    throws(StoreError)
  {
    var offset = offset
    while offset < byteCount {
      let count = Int(min(byteCount - offset, Int64(Self.pieceBytes)))
      let piece = try source.file.read(count, at: offset)
      guard piece.count == count else { throw source.truncated() }
      try body(piece, offset)
      offset += Int64(count)
    }
  }

  /// Makes the whole copy at `path`, which must not exist, and proves it. Durable, but for its name.
  package func write(
    to path: String, closedBy closer: String?, onProgress: (Int64) throws(StoreError) -> Void
  ) throws(StoreError) {
    let file = try environment.fileSystem.create(path, mode: 0o644)
    try file.write(try head(closedBy: closer), at: 0)
    try read(from: Block.firstLogFrame) { (piece, offset) throws(StoreError) in
      try file.write(piece, at: offset)
      try onProgress(Int64(piece.count))
    }
    try file.sync()
    let copy = try LogSegment(path: path, store: source.header.store, environment: environment)
    try prove(copy, from: Block.firstLogFrame, after: copy.headerChecksum, onProgress)
  }

  /// Makes a copy that there is longer, up to this one's end, and then has it publish that.
  package func extend(
    _ path: String, from there: Beacon, onProgress: (Int64) throws(StoreError) -> Void
  ) throws(StoreError) {
    let file = try environment.fileSystem.open(path, .write)
    try read(from: there.position.end) { (piece, offset) throws(StoreError) in
      try file.write(piece, at: offset)
      try onProgress(Int64(piece.count))
    }
    try file.sync()
    let copy = try LogSegment(path: path, store: source.header.store, environment: environment)
    try prove(copy, from: there.position.end, after: there.position.checksum, onProgress)
    for counter in [there.counter + 1, there.counter + 2] {
      var beacon = beacon
      beacon.counter = counter
      try file.write(beacon.encoded(), at: beacon.slot)
      try file.sync()
    }
  }

  /// Walks the frames of `segment` (the copy, or the source itself) to the end: each is whole and follows
  /// the one before it.
  package func prove(
    _ segment: LogSegment, from offset: Int64, after checksum: UInt32,
    _ onProgress: (Int64) throws(StoreError) -> Void
  ) throws(StoreError) {
    guard environment.makes(.provenCopy) else { return }
    var chain = FrameChain(segment.scanner(), from: offset, after: checksum)
    chain.scanner.readAhead = 1 << 20
    while chain.offset < byteCount {
      let before = chain.offset
      guard let frame = try chain.ahead(), frame.end <= byteCount,
        try chain.scanner.isWhole(frame)
      else { throw damage(at: before) }
      chain.pass(frame)
      try onProgress(chain.offset - before)
    }
    guard chain.checksum == beacon.position.checksum else {
      throw damage(at: beacon.position.lastFrame)
    }
  }

  private func damage(at offset: Int64) -> StoreError {
    StoreError(
      .damaged,
      "a frame of the published log is not whole in the copy, which does not publish it; see what `sluice verify` says of the store",
      path: source.file.path, offset: offset)
  }
}
