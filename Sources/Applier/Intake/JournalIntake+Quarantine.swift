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
      try changeQuarantine(beside: target)
    }
    segment.names = 2
    if environment.makes(.syncQuarantine) {
      try environment.fileSystem.syncDirectory(layout.quarantine)
    }
    quarantined += 1
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

  /// An answered change of the directory brings those before it along. It is not made by one more name
  /// of a segment, which would be a stranger's if this process died before it is removed.
  private func changeQuarantine(beside target: String) throws(StoreError) {
    let fileSystem = environment.fileSystem
    let temporary = StoreLayout.temporaryName(target, environment.random())
    do throws(StoreError) {
      _ = try fileSystem.createUncached(temporary, mode: 0o600)
      try fileSystem.unlink(temporary)
    } catch {
      // Made, and an answer: EEXIST to a request sent again, since nobody else has this name; or another
      // applier has removed it, who takes it for left behind.
      guard error.isExistingFile || error.isNoSuchFile || error.isStaleHandle else { throw error }
      if error.isExistingFile { try? fileSystem.unlink(temporary) }
    }
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
