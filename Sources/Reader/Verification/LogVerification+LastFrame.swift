internal import SluiceJournal
internal import SluiceShared

/// What stands at the end of a finished segment, and readers go by.
extension LogVerification {
  /// The frame at a finished segment's end says of the segment what its header and its start frame say.
  func compareCopies(
    _ frame: FrameHeader, _ one: VerifiedSegment, _ survey: inout SegmentSurvey
  ) throws(StoreError) {
    guard let start = one.start, frame.section(.segmentHeader) != nil,
      try !survey.scanner.repeats(one.segment.header, start, in: frame)
    else { return }
    verification.report(
      one.segment.file.path, frame.offset,
      "the last frame of a finished segment does not say what its header and its start frame say",
      remains: "readers go by the last frame; restore the file from a backup")
  }

  /// The index at a finished segment's end says what its commits say. Without a description (where commits
  /// were carried over) nobody goes by it.
  func compareMerged(
    _ frame: FrameHeader, _ one: VerifiedSegment, _ survey: inout SegmentSurvey
  ) throws(StoreError) {
    guard frame.section(.meta) != nil, merged.isKnown else { return }
    let bytes = try survey.scanner.section(.index, of: frame, limit: Limits.commitBytes) ?? []
    let entries = (try? PageEntry.decode(bytes, base: 0)) ?? []
    guard !merged.agree(with: entries) else { return }
    verification.report(
      one.segment.file.path, frame.offset,
      "a finished segment's merged index does not say what its commits say",
      remains: "the commits are right, and readers go by the index; restore the file from a backup")
  }
}
