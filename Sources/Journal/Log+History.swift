package import SluiceShared

extension Log {
  /// A part of the history that lies in one segment.
  package struct Span: Sendable {
    package var segment: LogSegment
    /// Where the history leaves the segment.
    package var position: LogPosition
    package var end: Int64 { position.end }
    package var lastFrame: Int64 { position.lastFrame }
    /// The history up to this segment's beginning: what its carried commits begin behind.
    package var inherited: LogExtent
    package var start: StartRecord
    /// The segment's last frame, where it was opened by that.
    package var lastFrameRead: [UInt8]?
  }

  /// The history up to `present`, oldest first, walked from the newest segment downwards until one
  /// begins at or before `txid`. Throws `.snapshotExpired` where a segment is gone.
  /// `byLastFrames`: finished segments are opened by what stands at their end, for who goes by their merged indexes.
  package func history(after txid: TxID, upTo present: Present, byLastFrames: Bool = false)
    throws(StoreError) -> [Span]
  {
    let spans = try spans(upTo: present, byLastFrames: byLastFrames) {
      $0.inherited.txid <= txid
    }
    guard let first = spans.first, first.inherited.txid > txid, first.start.parent != nil else {
      return spans
    }
    throw StoreError(
      .snapshotExpired,
      "batch \(txid.next) is not kept any more: the log begins with batch \(first.inherited.txid.next), since \(timestamp(first.inherited.time_ms))",
      path: layout.log)
  }

  /// The same, or what is still there of it: then the first segment begins later.
  package func kept(after txid: TxID, upTo present: Present) throws(StoreError) -> [Span] {
    try spans(upTo: present) { $0.inherited.txid <= txid }
  }

  /// The spans from segment `number` on, or from what is still there behind it.
  package func kept(from number: UInt64, upTo present: Present) throws(StoreError) -> [Span] {
    try spans(upTo: present) { $0.segment.number <= number }
  }

  /// From the newest segment downwards to the first span that `isFirst`, oldest first.
  private func spans(
    upTo present: Present, byLastFrames: Bool = false, _ isFirst: (Span) -> Bool
  ) throws(StoreError) -> [Span] {
    var spans: [Span] = []
    var names = LogNames()
    var keptBytes: Int64 = 0
    var position = present.beacon.position
    var found = Found(segment: present.segment)
    while true {
      let segment = found.segment
      let start = try segment.startRecord(at: position.startFrame)
      let span = Span(
        segment: segment, position: position, inherited: start.inherited, start: start,
        lastFrameRead: found.lastFrame)
      spans.append(span)
      guard !isFirst(span), let parent = start.parent else { break }
      // The way downwards must have an end, whatever a file says.
      guard parent.segment < segment.number else {
        throw StoreError(
          .damaged,
          "the start frame of a log segment names \(parent.segment) as the segment before it; restore the file from a backup",
          path: segment.file.path, offset: position.startFrame)
      }
      keptBytes += Int64(found.lastFrame?.count ?? 0)
      let mayKeep = byLastFrames && keptBytes < Limits.lastFramesKeptBytes
      guard let next = try find(parent, &names, byLastFrame: mayKeep) else { break }
      found = next
      position = parent
    }
    return spans.reversed()
  }

  /// The segment at `position`, wherever retention has it, and its last frame where it was opened by that; nil where it
  /// is gone. Found by listing: a name that is probed and missing stays missing on NFS for a minute. A walk goes by
  /// the listing that it began with as far as that leads.
  ///
  /// A late claimant can give its own file the number of a segment that was moved to `old/`, before
  /// it sees that it is late; so the nonce says which of two files of one name it is.
  private func find(_ position: LogPosition, _ names: inout LogNames, byLastFrame: Bool)
    throws(StoreError) -> Found?
  {
    let number = position.segment
    if let segment = openFile(number), segment.header.nonce == position.nonce {
      return Found(segment: segment)
    }
    if names.areKnown {
      let known = try? find(position, among: &names, byLastFrame: byLastFrame)
      if case .segment(let found)? = known { return found }
      names.forget()
    }
    switch try find(position, among: &names, byLastFrame: byLastFrame) {
    case .segment(let found): return found
    case .nothing: return nil
    case .other(let other):
      throw StoreError(
        .damaged, "a log segment is not the one that its successor names; restore it from a backup",
        path: other.file.path)
    }
  }

  private struct Found {
    var segment: LogSegment
    var lastFrame: [UInt8]?
  }

  private enum Finding {
    case segment(Found)
    case nothing
    /// Only one that has the number, and published under it.
    case other(LogSegment)
  }

  private func find(_ position: LogPosition, among names: inout LogNames, byLastFrame: Bool)
    throws(StoreError) -> Finding
  {
    let number = position.segment
    let name = StoreLayout.logName(number)
    var other: LogSegment?
    for directory in [layout.log, layout.oldLog] {
      guard try names.contains(name, in: directory, environment.fileSystem) else { continue }
      forgetFile(number)
      if byLastFrame,
        let found = LogSegment.finished(
          "\(directory)/\(name)", endingAt: position, of: store)
      {
        keep(found.segment)
        return .segment(Found(segment: found.segment, lastFrame: found.lastFrame))
      }
      guard let segment = try open(number, in: directory) else { continue }
      if segment.header.nonce == position.nonce { return .segment(Found(segment: segment)) }
      // Of a late claimant, who never starts: the one that had the number is gone.
      guard try segment.control().beacon != nil else {
        forgetFile(number)
        continue
      }
      other = segment
    }
    guard let other else { return .nothing }
    forgetFile(number)
    return .other(other)
  }
}

/// The names in `log/` and `log/old/`, listed when they are first asked for.
struct LogNames {
  private var names: [String: Set<String>] = [:]

  var areKnown: Bool { !names.isEmpty }

  mutating func forget() { names = [:] }

  mutating func contains(_ name: String, in directory: String, _ fileSystem: any FileSystem)
    throws(StoreError) -> Bool
  {
    if let known = names[directory] { return known.contains(name) }
    let listed = Set(try fileSystem.listed(ifThere: directory))
    names[directory] = listed
    return listed.contains(name)
  }
}
