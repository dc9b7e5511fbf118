internal import SluiceJournal
internal import SluiceShared

/// The log's segments as far as they can be read, whatever is wrong with others.
///
/// Where a segment's history ends, its successor says; of the newest one it is all that is whole in it, as
/// for a claimant: what was confirmed and not published may have been published in a segment that is lost.
struct SalvagedLog {
  struct Segment {
    let segment: LogSegment
    let path: String
    let beacon: Beacon?
    let start: StartRecord?
    /// Behind it nothing is history.
    var end: Int64
  }

  /// Ascending.
  private(set) var segments: [Segment] = []

  init(of store: StoreHandle) throws(StoreError) {
    let log = Log(of: store)
    for file in try SegmentFiles(store.layout, store.fileSystem).all {
      do throws(StoreError) {
        let segment = try LogSegment(
          path: file.path, store: store.id, environment: store.environment)
        let control = try segment.control()
        let start = try Self.start(of: segment, control.beacon, log)
        guard segment.number == file.number, start != nil || control.beacon != nil else { continue }
        segments.append(
          Segment(
            segment: segment, path: file.path, beacon: control.beacon, start: start,
            end: control.beacon?.position.end ?? Block.firstLogFrame))
      } catch {
        guard error.isRemoval || Self.isOfContent(error) else { throw error }
      }
    }
    // What has a lower number than a line's first segment is not before it.
    if let line = segments.lastIndex(where: { $0.start?.beginsLine ?? false }) {
      segments.removeFirst(line)
    }
    try findEnds()
  }

  static func isOfContent(_ error: StoreError) -> Bool {
    [.damaged, .foreign, .unsupported].contains(error.code)
  }

  private static func start(of segment: LogSegment, _ beacon: Beacon?, _ log: Log)
    throws(StoreError) -> StartRecord?
  {
    if let place = beacon?.position.startFrame,
      let record = try? segment.startRecord(at: place)
    {
      return record
    }
    var frames = segment.frames()
    while let frame = try frames.ahead() {
      if frame.kind == .start { return try? segment.startRecord(at: frame.offset) }
      frames.pass(frame)
    }
    return nil
  }

  private mutating func findEnds() throws(StoreError) {
    for i in segments.indices {
      let own = segments[i].segment.header
      let named = segments[(i + 1)...].compactMap(\.start?.parent)
        .first { $0.segment == own.number && $0.nonce == own.nonce }
      if let named {
        segments[i].end = named.end
      } else if i == segments.indices.last {
        segments[i].end = try wholeEnd(of: segments[i])
      }
    }
  }

  /// Behind the last whole frame that continues what is published.
  private func wholeEnd(of one: Segment) throws(StoreError) -> Int64 {
    var chain =
      one.beacon.map {
        FrameChain(one.segment.scanner(), from: $0.position.end, after: $0.position.checksum)
      } ?? one.segment.frames()
    while try chain.nextWhole() != nil {}
    return chain.offset
  }

  /// The last place in the history that a beacon, a start frame or a whole commit shows.
  func latest() throws(StoreError) -> LogExtent {
    var latest = LogExtent.empty
    func note(_ extent: LogExtent?) {
      guard let extent else { return }
      latest.txid = max(latest.txid, extent.txid)
      latest.commits = max(latest.commits, extent.commits)
      latest.time_ms = max(latest.time_ms, extent.time_ms)
    }
    for one in segments {
      note(one.beacon?.extent)
      note(one.start?.carried)
    }
    guard let newest = segments.last else { return latest }
    var survey = SegmentSurvey(newest.segment, end: newest.end)
    while let found = try survey.next() {
      guard case .frame(let frame, _) = found, frame.kind == .commit else { continue }
      latest.txid = max(latest.txid, TxID(frame.first + UInt64(frame.count) - 1))
    }
    return latest
  }
}
