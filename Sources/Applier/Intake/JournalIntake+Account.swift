internal import SluiceJournal
internal import SluiceShared

/// What is told of the journal.
extension JournalIntake {
  var writerCount: Int { writers.count }
  /// Files here that are not read.
  var ignoredCount: Int { names.ignoredCount }
  /// Writers whose batches wait for the right to use a file, or for room on the scratch disk.
  var unusableCount: Int { heldBack.forbiddenCount + withoutRoom.knownCount }

  /// What was and will not be applied of what this term has found.
  var leftBehind: LeftBehind {
    LeftBehind(
      ignored: ignoredCount, missing: missing, heldBack: heldBack.count + withoutRoom.count,
      quarantined: quarantine.countHere)
  }

  /// How long the oldest batch has waited.
  var age_ms: UInt64 {
    let oldest = waiting.firsts.compactMap(\.frame.found).min()
    guard let oldest else { return 0 }
    return UInt64(max(0, (environment.clock.elapsed() - oldest).wholeMilliseconds))
  }

  /// Who has a file here, by a listing made for this and by the last one before. Both, since a writer
  /// may have another file that is removed while the second is under way, and make one that it misses.
  func writersWithFiles() throws(StoreError) -> WritersWithFiles {
    var found = WritersWithFiles()
    for name in Set(
      try environment.fileSystem.list(layout.journal, where: JournalNames.isWanted)
    ).union(names.listed) {
      guard let writer = StoreLayout.journalSegment(name)?.writer else { continue }
      found.all.insert(writer)
      if names.isExpected(name) { found.waiting.insert(writer) }
    }
    return found
  }

  /// The latest date, by the file server's clock, of the files opened since this was last called; nil
  /// where none was.
  func takeLatestFile_ms() -> Int64? {
    defer { latestFile_ms = .min }
    return latestFile_ms == .min ? nil : latestFile_ms
  }

  /// Looks what lies in quarantine, at the beginning of a term.
  func lookIntoQuarantine() throws(StoreError) { try quarantine.look() }

  /// Whether the batches that a writer's next ones follow may be in quarantine.
  func mayLackBatches(_ writer: WriterID) -> Bool { quarantine.mayHold(batchesOf: writer) }
}
