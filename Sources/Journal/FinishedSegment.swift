package import SluiceShared

extension LogSegment {
  /// Opens the segment at `path` by its last frame, which its successor has named as the one at `position`; nil where it
  /// is not there, the segment was not finished in order, or an earlier version finished it: then it is opened by
  /// its header.
  ///
  /// One read has all that a reader needs of a finished segment: the merged index, and a copy of the
  /// header and of the start record. What is read is that very frame: its checksum begins with the segment's nonce,
  /// covers where it lies and the checksums of its sections, and has to be the one that the successor names.
  static func finished(
    _ path: String, endingAt position: LogPosition, of store: StoreHandle
  ) -> (segment: LogSegment, lastFrame: [UInt8])? {
    let environment = store.environment
    let length = position.end - position.lastFrame
    guard position.lastFrame > position.startFrame, length <= Limits.lastFrameReadBytes,
      let file = try? environment.fileSystem.open(
        path, environment.makes(.sharedLog) ? .shared : .fixed),
      let bytes = try? file.read(Int(length), at: position.lastFrame)
    else { return nil }
    var scanner = FrameScanner(
      file, nonce: position.nonce, checksSections: environment.makes(.wholeLogFrames))
    scanner.take(bytes, at: position.lastFrame)
    guard bytes.count == Int(length), let frame = try? scanner.header(at: position.lastFrame),
      frame.kind == .index, frame.checksum == position.checksum, frame.end == position.end,
      let copied = try? scanner.section(.segmentHeader, of: frame, limit: Int64(Block.size)),
      let (header, checksum) = LogSegmentHeader.decode(copied: copied),
      header.store == store.id, header.number == position.segment, header.nonce == position.nonce,
      let start = try? scanner.startRecord(of: frame)
    else { return nil }
    let segment = LogSegment(
      file, header, checksum: checksum, start: start, at: position.startFrame, environment)
    return (segment, bytes)
  }
}

extension FrameScanner {
  /// Whether `frame`, a finished segment's last one, has copies of `header` and `start`.
  package mutating func repeats(
    _ header: LogSegmentHeader, _ start: StartRecord, in frame: FrameHeader
  ) throws(StoreError) -> Bool {
    let copied = try section(.segmentHeader, of: frame, limit: Int64(Block.size))
    let record = try startRecord(of: frame)
    return copied == header.copied() && record == start
  }
}
