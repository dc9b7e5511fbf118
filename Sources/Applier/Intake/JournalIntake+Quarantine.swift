internal import Logging
internal import SluiceJournal
internal import SluiceShared

/// Segments with a torn or damaged write are kept for people to look at.
extension JournalIntake {
  /// Moves a segment with remains aside, by link and unlink.
  func quarantine(
    _ segment: JournalSegmentReader, _ remains: JournalSegmentReader.Remains,
    lastRead: SequenceNumber, next: SequenceNumber?
  ) throws(StoreError) {
    let name = StoreLayout.journalName(segment.id)
    let target = "\(layout.quarantine)/\(name)"
    do throws(StoreError) { try environment.fileSystem.link(segment.path, to: target) } catch {
      if !error.isExistingFile { throw error }
      // Of somebody who may have died before it was answered, so that a file server may lose it still
      // (on NFS the sync below asks for nothing).
      try environment.changeDirectory(of: target)
    }
    segment.names = 2
    if environment.makes(.syncQuarantine) {
      try environment.fileSystem.syncDirectory(layout.quarantine)
    }
    quarantined += 1
    quarantinedHere += 1
    asideNames.insert(name)
    let why =
      switch remains {
      case .tooLong: "it is longer than the longest segment"
      case .none: "what its writer says was acknowledged there is not in it"
      case .some, .unknown: "a torn or damaged write lies behind its last whole frame"
      }
    var lost = "unknown, from \(lastRead.next) on, if any was acknowledged"
    if let next, next > lastRead.next { lost = "\(lastRead.next) to \(next.rawValue - 1)" }
    log.error(
      "journal segment put into quarantine: \(why)",
      metadata: [
        "file": "\(target)", "offset": "\(segment.offset)", "lastSequence": "\(lastRead)",
        "lost": "\(lost)",
      ])
  }

  /// Looks what lies in quarantine, at the beginning of a term.
  func countQuarantine() throws(StoreError) {
    let segments = try environment.fileSystem.list(layout.quarantine)
      .compactMap(StoreLayout.journalSegment)
    quarantined = UInt32(segments.count)
    damaged = Set(segments.map(\.writer))
    asideNames = Set(segments.map(StoreLayout.journalName))
  }
}
