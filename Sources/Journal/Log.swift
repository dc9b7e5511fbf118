package import SluiceShared

/// The log as everybody but its holder sees it, and the one place that says what is believed:
/// beacons only.
///
/// One read takes the blocks 0–3 of the newest known segment. If its mark is empty, its beacon is the
/// present. If its mark is set, or it has no beacon yet, somebody went on elsewhere: `log/` is listed, and
/// the newest segment with a beacon is the present. A claimant links its segment before it marks an earlier
/// one. So a listing that shows none later than a closed segment is stale, and is made again.
///
/// Why that is linearizable: a holder publishes only after it read its own mark empty, so when a
/// beacon of a later segment exists, the marks of all earlier ones were durable before it, and a
/// reader that still finds the mark empty began before that beacon was published.
///
/// Not safe to use from two threads at once; its owner has a lock.
package final class Log {
  package let store: StoreHandle
  var layout: StoreLayout { store.layout }
  var environment: Environment { store.environment }
  private var newest: LogSegment?
  private var opened: [UInt64: LogSegment] = [:]

  /// The published present.
  package struct Present: Sendable {
    package var segment: LogSegment
    package var beacon: Beacon
    /// The segment was closed; a successor has not published yet.
    package var isClosed: Bool
    /// What was read of the segment in the same round trip, and from where on; it may be older than the beacon.
    var read: (offset: Int64, bytes: [UInt8])?
    package var extent: LogExtent { beacon.extent }

    package init(segment: LogSegment, beacon: Beacon, isClosed: Bool) {
      self.segment = segment
      self.beacon = beacon
      self.isClosed = isClosed
    }
  }

  package init(of store: StoreHandle) { self.store = store }

  /// What is published now: at least everything that anybody saw published before this was called.
  ///
  /// Waits some seconds for what cannot be read now, unless `waits` is false. `follower`: news is expected, and
  /// what it reads next is read in the same round trip; a read more, where there is no news.
  package func present(waits: Bool = true, readingFor follower: LogFollower? = nil)
    throws(StoreError) -> Present
  {
    if let newest {
      let offset = isNetwork(newest) ? follower?.place(in: newest) : nil
      var read: (offset: Int64, bytes: [UInt8])?
      let control = try control(of: newest) { (segment) throws(StoreError) in
        guard let offset else { return try segment.control() }
        let (control, frames) = try segment.control(andFrames: offset)
        read = (offset, frames)
        return control
      }
      if let control, !control.isClosed || !environment.makes(.lookBehindMark),
        let beacon = control.believable
      {
        var present = try present(newest, beacon, isClosed: false)
        present.read = read
        return present
      }
    }
    return try search(attempts: waits ? Log.patience : 1)
  }

  /// Elsewhere a read costs less than what is read for nothing.
  private func isNetwork(_ segment: LogSegment) -> Bool {
    (try? environment.fileSystem.isNetwork(segment.file.path)) ?? false
  }

  /// A position that was published at some time, the present one where it can be read: for who only
  /// has to begin somewhere. A beacon torn by its holder's end does not keep it waiting.
  package func beginning() throws(StoreError) -> Present {
    if let present = try? present(waits: false) { return present }
    for number in try listed() {
      guard let segment = try open(number), let control = try? segment.control(),
        let beacon = control.beacon
      else { continue }
      return Present(segment: segment, beacon: beacon, isClosed: control.isClosed)
    }
    return try present()
  }

  /// Looks at most, with pauses of up to 25 ms: about five seconds, in which a beacon that is being
  /// written is there, and a living holder has made several.
  private static let patience = 200
  private static let mostOpen: UInt64 = 64

  private func search(attempts: Int) throws(StoreError) -> Present {
    var unreadable: StoreError?
    var closed: LogSegment?
    for attempt in 0..<attempts {
      if attempt > 0 { environment.clock.sleep(.milliseconds(min(attempt, 25))) }
      let numbers = try listed()
      (unreadable, closed) = (nil, nil)
      for number in numbers {
        guard let segment = try open(number), let control = try control(of: segment) else { break }
        guard !control.isTruncated else {
          // An older segment's beacon would be a wrong answer. Opened anew, should it be a cache.
          unreadable = segment.truncated()
          break
        }
        guard let beacon = control.believable else {
          guard control.hasUnreadableSlot else { continue }
          // Being written, or damaged: an older beacon would be a wrong answer then.
          unreadable = damagedBeacon(segment)
          break
        }
        // A closed segment always has a later one: this listing does not show it yet.
        if control.isClosed, number == numbers.first, environment.makes(.lookBehindMark) {
          unreadable = StoreError(
            .damaged,
            "the newest log segment is marked closed and none follows it; start an applier, which goes on in a new one",
            path: segment.file.path, offset: Block.mark)
          closed = segment
          break
        }
        newest = segment
        return try present(segment, beacon, isClosed: control.isClosed)
      }
      if numbers.isEmpty {
        // A listing that took very long can miss those that went and those that came.
        unreadable = StoreError(.damaged, Log.noSegment, path: layout.log)
      }
    }
    // With a mark that is whole an applier would not go on either.
    if let closed, (try? Mark.isWhole(closed.file)) == true { throw closed.lacksSuccessor() }
    throw unreadable
      ?? StoreError(
        .damaged,
        "no segment of the log has a beacon, and that stays so; `sluice init` may have been cut off: if the store was never used, remove it and make it again",
        path: layout.log)
  }

  package static let noSegment =
    "the log has no segment: `sluice init` was cut off, or the log is lost; if the store was never used, remove it and make it again, else see `sluice repair`"

  private func present(_ segment: LogSegment, _ beacon: Beacon, isClosed: Bool) throws(StoreError)
    -> Present
  {
    let present = Present(segment: segment, beacon: beacon, isClosed: isClosed)
    guard environment.makes(.publishBeforeAcknowledging) else { return try unpublished(present) }
    return present
  }

  /// What `present` must not do: takes commits for published that lie whole behind the beacon.
  private func unpublished(_ present: Present) throws(StoreError) -> Present {
    var present = present
    var chain = FrameChain(
      present.segment.scanner(), from: present.beacon.position.end,
      after: present.beacon.position.checksum)
    while let frame = try chain.ahead(), frame.kind == .commit,
      let bytes = try chain.scanner.section(.meta, of: frame, limit: Limits.commitBytes),
      let meta = try? CommitMeta(decoding: bytes), try chain.scanner.isWhole(frame)
    {
      chain.pass(frame)
      present.beacon.extent = Commit(header: frame, meta: meta).extent
      present.beacon.position.lastFrame = frame.offset
      present.beacon.position.end = frame.end
      present.beacon.position.checksum = frame.checksum
    }
    return present
  }

  /// What `segment`, which this log opened, says of itself. nil where the open was lost, and with it
  /// those of all files: they are opened anew when they are asked for.
  package func control(of segment: LogSegment) throws(StoreError) -> LogSegment.Control? {
    try control(of: segment) { (segment) throws(StoreError) in try segment.control() }
  }

  private func control(
    of segment: LogSegment, _ read: (LogSegment) throws(StoreError) -> LogSegment.Control
  ) throws(StoreError) -> LogSegment.Control? {
    do throws(StoreError) {
      let control = try read(segment)
      // Before its first beacon a segment's name may be lost with the file server's power, and another
      // file get it: it is opened anew until then.
      if control.beacon == nil { opened[segment.number] = nil }
      return control
    } catch {
      guard error.isLostOpen else { throw error }
      forgetFiles()
      return nil
    }
  }

  /// The next look begins at a segment that this process holds and has published in.
  package func adopt(_ segment: LogSegment) {
    opened[segment.number] = segment
    newest = segment
  }

  /// Everything is opened anew when it is asked for.
  package func forgetFiles() {
    newest = nil
    opened = [:]
  }

  private func damagedBeacon(_ segment: LogSegment) -> StoreError {
    StoreError(
      .damaged, "the beacon of a log segment cannot be read; start an applier, which covers it",
      path: segment.file.path, offset: Block.beacons.0)
  }

  /// The numbers of the log's segments, newest first, from a directory opened anew.
  package func listed() throws(StoreError) -> [UInt64] {
    if let newest, !environment.makes(.listNames) { return probed(above: newest.number) }
    return try environment.fileSystem.list(layout.log).compactMap(StoreLayout.logNumber).sorted(
      by: >)
  }

  /// What `listed` must not do: asks for one name after the other.
  private func probed(above known: UInt64) -> [UInt64] {
    var last = known
    while (try? environment.fileSystem.status("\(layout.log)/\(StoreLayout.logName(last + 1))"))
      != nil
    { last += 1 }
    return (1...last).reversed()
  }

  /// The segment of a number that a listing of `log/` showed; nil where it is gone (list again).
  package func open(_ number: UInt64) throws(StoreError) -> LogSegment? {
    try open(number, in: layout.log)
  }

  /// The same, and not a file that had this number before.
  func openAnew(_ number: UInt64) throws(StoreError) -> LogSegment? {
    forgetFile(number)
    return try open(number)
  }

  /// The segment that was opened under this number, if any still is.
  func openFile(_ number: UInt64) -> LogSegment? { opened[number] }

  /// It is opened anew when it is asked for.
  func forgetFile(_ number: UInt64) { opened[number] = nil }

  /// The segment of a number that a listing of `directory` showed.
  func open(_ number: UInt64, in directory: String) throws(StoreError) -> LogSegment? {
    if let segment = opened[number] { return segment }
    do throws(StoreError) {
      let segment = try LogSegment(
        path: "\(directory)/\(StoreLayout.logName(number))", store: store.id,
        environment: environment)
      keep(segment)
      return segment
    } catch {
      // Or it went between its opening and the reading of its header.
      guard error.isGone else { throw error }
      return nil
    }
  }

  /// Of a log that goes on and on only the newest are kept open.
  func keep(_ segment: LogSegment) {
    if opened.keys.allSatisfy({ $0 < segment.number }) {
      opened = opened.filter { $0.key + Log.mostOpen > segment.number }
    }
    opened[segment.number] = segment
  }
}
