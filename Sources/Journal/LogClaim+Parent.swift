package import SluiceShared

extension LogClaim {
  /// Whether a claim of the successor of `observed` would find a parent, as far as can be seen without a mark.
  /// False where somebody was faster. Throws `.damaged` where it would, behind its link.
  ///
  /// A segment is marked only once its successor's name is durable. So where one has a mark that somebody
  /// wrote, and its successor is not listed by now, the latter is lost, with what was published in it; to go
  /// on would give its TxIDs to other batches.
  func hasParent(_ observed: UInt64, _ log: Log) throws(StoreError) -> Bool {
    guard observed > 0 else { return true }
    let numbers = try log.listed()
    for number in numbers {
      guard let segment = try log.open(number), let control = try log.control(of: segment) else {
        return false
      }
      if control.isClosed, !control.isTruncated, !numbers.contains(number + 1),
        environment.makes(.successorOfMarked), try Mark.isWhole(segment.file)
      {
        guard try !log.listed().contains(number + 1), try isKept(number, log) else { return false }
        throw segment.lacksSuccessor()
      }
      guard !control.isTruncated else { throw segment.truncated() }
      guard try mayMark(segment) else { return false }
      if control.beacon != nil { return true }
      if try read(segment) != nil { return true }
    }
    // The claim itself lists again before it says that nothing is there.
    guard try log.listed().first == observed else { return false }
    throw StoreError(
      .damaged, "no segment of the log has a start frame; restore the store from a backup",
      path: log.layout.log)
  }
}

extension LogClaim {
  /// Retention takes the lowest segments first. So where this one is listed, behind a listing that lacked its
  /// successor, that one was not retired.
  private func isKept(_ number: UInt64, _ log: Log) throws(StoreError) -> Bool {
    try log.listed().contains(number)
  }

  /// Throws where this process has no right to mark a segment: behind its link it would leave a segment with
  /// each try, and the next claimant would wait for it. False where the segment is gone.
  private func mayMark(_ segment: LogSegment) throws(StoreError) -> Bool {
    do throws(StoreError) {
      try environment.fileSystem.proveWritable(segment.file.path)
    } catch {
      guard error.isNoSuchFile else { throw error }
      return false
    }
    return true
  }

  /// Throws `.damaged` where a checkpoint is later than the last commit of the log. False where nothing can be said now.
  ///
  /// A checkpoint is made of what a beacon states, and checkpoints are listed before the log. So the newest of the log is
  /// lost, and to go on would give its TxIDs to other batches. That comes of files that somebody put there, or
  /// copied at different moments, while no applier led: who compares before its first claim has seen it.
  package func compareCheckpoints() throws(StoreError) -> Bool {
    guard environment.makes(.checkpointWithinLog) else { return true }
    let log = log ?? Log(of: store)
    let checkpoints = try CheckpointListing(of: store).whole
    let numbers = try log.listed()
    for number in numbers {
      guard let segment = try log.open(number), let control = try log.control(of: segment),
        !control.isTruncated
      else { return false }
      if let beacon = control.beacon, checkpoints.allSatisfy({ $0 <= beacon.extent.txid }) {
        return true
      }
      guard let parent = try read(segment) else { continue }
      for checkpoint in checkpoints where try isLater(checkpoint, than: parent) {
        guard try log.listed().first == numbers.first else { return false }
        throw parent.endsBefore(checkpoint)
      }
      return true
    }
    return false
  }

  /// Whether `checkpoint` is of the history that `parent` is of, and behind its last commit. One that a repair made and did
  /// not live to begin the line of is of no history yet.
  private func isLater(_ checkpoint: TxID, than parent: Parent) throws(StoreError) -> Bool {
    let last = parent.last
    guard checkpoint > last, HistoryLine.line(of: checkpoint) == HistoryLine.line(of: last) else {
      return false
    }
    do throws(StoreError) {
      let sidecar = try CheckpointSidecar(
        path: layout.sidecar(of: checkpoint), store: store.id,
        fileSystem: environment.fileSystem)
      return sidecar.header.extent.txid == checkpoint
    } catch {
      // Retention has removed it, or it is damaged, which `verify` says.
      guard error.isNoSuchFile || error.code == .damaged else { throw error }
      return false
    }
  }
}

extension LogClaim.Parent {
  /// The last batch that it holds, published or not.
  fileprivate var last: TxID {
    unpublished.reduce(extent.txid) { last, frame in
      let header = frame.header
      guard header.kind == .commit, header.count > 0 else { return last }
      return max(last, TxID(header.first + UInt64(header.count) - 1))
    }
  }

  fileprivate func endsBefore(_ checkpoint: TxID) -> StoreError {
    StoreError(
      .damaged,
      "checkpoint \(checkpoint) is later than the log, which ends with batch \(last): the newest of the log is missing; restore it from a backup, or see `sluice repair`",
      path: segment.file.path)
  }
}

extension LogSegment {
  /// It has a whole mark, and no later segment is there.
  func lacksSuccessor() -> StoreError {
    StoreError(
      .damaged,
      "a log segment is closed, so there was a later one, and it is missing, with what was published in it: restore it from a backup, or see `sluice repair`",
      path: file.path, offset: Block.mark)
  }
}

extension LogPosition {
  /// Behind a start frame.
  init(_ start: FrameHeader, in segment: LogSegmentHeader) {
    self.init(
      segment: segment.number, nonce: segment.nonce, end: start.end, lastFrame: start.offset,
      checksum: start.checksum, startFrame: start.offset)
  }
}
