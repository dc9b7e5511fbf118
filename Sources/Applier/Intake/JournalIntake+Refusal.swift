internal import Glibc
internal import Logging
internal import SluiceJournal
internal import SluiceShared

/// What becomes of a file that cannot be used: it is its writer's problem, and nobody else's.
extension JournalIntake {
  /// Passes over a segment for good.
  func ignore(_ segment: JournalSegmentReader, _ error: StoreError) {
    forget(segment)
    names.ignore(segment.id, isNewer: error.code == .unsupported)
    complain(.ignored, "journal file ignored", ["error": "\(error)"])
  }

  /// Takes a segment out of its queue. What is listed under its name again is a new one.
  func forget(_ segment: JournalSegmentReader) {
    precondition(ahead == nil, "a segment is given up while it may be read ahead")
    segment.closeFile()
    names.forget(segment.id)
    writers.remove(segment)
    if writers[segment.id.writer] == nil { heldBack.forget(segment.id.writer) }
  }

  /// A file with a second name is a stranger's, unless that name is in quarantine: an applier that was
  /// moving it there may have made it after quarantine was last looked at.
  func hasSecondNameInQuarantine(_ segment: JournalSegmentReader, _ error: StoreError)
    -> Bool
  {
    guard error.code == .foreign, segment.file == nil, segment.names == 1,
      (try? quarantine.look()) != nil
    else { return false }
    guard quarantine.has(segment.id) else { return false }
    segment.names = 2
    return true
  }

  /// What becomes of a segment that cannot be used, and of its writer.
  func refuse(_ segment: JournalSegmentReader, _ error: StoreError) {
    let writer = segment.id.writer
    let now = environment.clock.elapsed()
    segment.nextPoll = now
    // Others need not wait for it, whatever it was.
    budget.didScan(segment)
    if error.isGone {
      // Removed: by another applier, which means published, or by a writer that could not begin it. Or
      // its name is another file's now, and is taken in anew.
      forget(segment)
      if writers[writer] == nil { withoutRoom.forget(writer) }
      return names.noteGone(segment.id, now)
    }
    if error.isTooManyFiles {
      complain("too many open files: segments are opened anew for each look", error)
      openFiles.shrink()
      segment.nextPoll = now + .milliseconds(100)
      return
    }
    // Not open any more, for whatever reason: it is opened anew.
    segment.closeFile()
    if error.isAboutTheFile || isStrangers(segment) { return ignore(segment, error) }
    if error.isLostOpen { return }
    // The file may be in order: what follows it waits until it can be used. One that may not be opened stays, too,
    // since it may hold what was acknowledged, and its writer could not be told that it is closed; it is counted
    // with those that are ignored.
    if heldBack.holdBack(writer, error, now) {
      complain(
        .unusable,
        error.isForbidden
          ? "journal file must be readable and writable to the applier, its writer's batches wait"
          : "journal file cannot be used, its writer's batches wait",
        ["error": "\(error)"])
    }
  }

  /// Whether a file that cannot be opened is not its writer's: that must not wait for it.
  private func isStrangers(_ segment: JournalSegmentReader) -> Bool {
    guard environment.makes(.ownWriter), segment.file == nil,
      let status = try? environment.fileSystem.status(segment.path)
    else { return false }
    guard status.kind == .regular else { return true }
    guard let owner = writers.knownOwner(of: segment.id.writer) else { return false }
    return owner != status.owner
  }

  /// Tells of one file, as far as it was not told of many this minute.
  func complain(
    _ kind: FileComplaints.Kind, _ what: Logger.Message, _ metadata: Logger.Metadata
  ) {
    if fileComplaints.isTold(kind, at: environment.clock.elapsed()) {
      log.error(what, metadata: metadata)
    }
  }

  /// Tells how many messages about single files were left out in a minute that is over.
  func tellLeftOut(_ now: Duration) {
    for (kind, count) in fileComplaints.takeLeftOut(at: now) {
      log.error(
        "more of the same was met in the journal than is told one by one",
        metadata: ["what": "\(kind.rawValue)", "count": "\(count)"])
    }
  }

  /// Once a minute.
  func complain(_ what: Logger.Message, _ error: StoreError) {
    let now = environment.clock.elapsed()
    if let lastComplaint, now - lastComplaint < .seconds(60) { return }
    lastComplaint = now
    log.error(what, metadata: ["error": "\(error)"])
  }
}

extension StoreError {
  /// EMFILE or ENFILE.
  var isTooManyFiles: Bool { errno == EMFILE || errno == ENFILE }

  /// The file itself is at fault, and stays so: none of ours, from a newer version, a symbolic link.
  var isAboutTheFile: Bool {
    code == .foreign || code == .unsupported || errno == ELOOP
  }
}
