package import SluiceShared

extension LogClaim {
  /// Begins a new line of the history behind `extent`, in segment `number`; a repair's part of the handshake.
  ///
  /// As for a claim the segment gets its number first, and then all others are marked, so that whoever still
  /// holds one of them ends. Nothing is read of them: what they hold is not taken over. The line counts from
  /// the first beacon on. `known`: the segments whose loss was looked at; with another one there somebody has
  /// claimed since. Throws `.notLeading` where somebody was faster.
  package func beginLine(
    _ number: UInt64, term: UInt64, behind extent: LogExtent, known: Set<UInt64>,
    firstBeacon: (LogHolder) -> SealedBeacon
  ) throws(StoreError) {
    let log = Log(of: store)
    let header = LogSegmentHeader(
      store: store.id, number: number, nonce: environment.random(), term: term,
      created_ms: environment.clock.wallTime_ms(), holder: holder)
    guard let file = try link(header), try log.listed().first == number else { throw overtaken() }
    let others = try log.listed().filter { $0 < number }
    guard known.isSuperset(of: others) else { throw overtaken() }
    for other in others { try mark(other) }
    let block = header.encoded()
    let place = FramePlace(
      offset: Block.firstLogFrame, nonce: header.nonce,
      previous: block.withUnsafeBytes { SealedBlock.checksum(of: $0) })
    let record = StartRecord(
      parent: HistoryLine.nowhere(before: number), inherited: extent, carried: extent,
      engine: engine)
    let start = try writeStart(record, to: file, at: place)
    let begun = LogHolder(
      header: header, file: file, size: segmentBytes, start: record,
      confirmed: LogPosition(start, in: header), merged: MergedPages(), layout: layout,
      environment: environment)
    if try Mark.isClosed(file) { throw overtaken() }
    try begun.publish(firstBeacon(begun))
  }

  private func mark(_ number: UInt64) throws(StoreError) {
    do throws(StoreError) {
      let file = try environment.fileSystem.open(
        "\(layout.log)/\(StoreLayout.logName(number))", .write)
      try Mark.write(to: file, by: holder, time_ms: environment.clock.wallTime_ms())
    } catch {
      guard error.isGone else { throw error }
    }
  }

  private func overtaken() -> StoreError {
    StoreError(
      .notLeading, "somebody else has claimed the log; stop all appliers, then repair again",
      path: layout.log)
  }
}
