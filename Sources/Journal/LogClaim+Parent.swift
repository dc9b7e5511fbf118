internal import SluiceShared

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
        guard try !log.listed().contains(number + 1) else { return false }
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
