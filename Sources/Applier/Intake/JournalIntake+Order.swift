internal import SluiceJournal
internal import SluiceShared

/// Whom a look comes to first.
extension JournalIntake {
  /// Users in rounds, since one may have any number of files. Of each user's files, and of those whose user is not
  /// known yet, who waits longest for a look comes first. Before all come who has the turn, and whose batches terms
  /// ended in.
  func inOrder(_ due: [JournalSegmentReader]) -> [JournalSegmentReader] {
    let sorted = due.sorted { place($0) < place($1) }
    var files: [UInt32?: Int] = [:]
    let placed = sorted.indices.map { index in
      let segment = sorted[index]
      let round = files[user(of: segment), default: 0]
      files[user(of: segment)] = round + 1
      return (isFirst(segment) ? 0 : 1, round, index)
    }
    guard files.count > 1 else { return sorted }
    return placed.sorted { $0 < $1 }.map { sorted[$0.2] }
  }

  /// Whose file it is; nil where neither it nor an earlier one of its writer was opened.
  func user(of segment: JournalSegmentReader) -> UInt32? {
    writers[segment.id.writer]?.owner ?? segment.knownOwner
  }

  private func place(_ segment: JournalSegmentReader) -> (Int, Duration, Int, JournalSegmentID) {
    let isKnown = segment.knownOwner != nil
    return (isFirst(segment) ? 0 : 1, segment.nextPoll, isKnown ? 1 : 0, segment.id)
  }

  private func isFirst(_ segment: JournalSegmentReader) -> Bool {
    segment.id.writer == turnHolder || writersFirst.contains(segment.id.writer)
  }
}
