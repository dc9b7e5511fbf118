internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// Interactive transactions in a replay. What their SQL was nobody knows; their pages are recorded, as changes of
/// the pages before them.
extension Replay {
  /// Before the pages of a transaction the replay goes on with the recorded ones, where it has made others of the
  /// same content.
  func takeRecorded(before commit: ReplayedCommit) throws(StoreError) {
    summary.takenPages += 1
    guard let recorded else {
      throw commit.difference(
        "it is of an interactive transaction, and the pages before it cannot be read; begin the replay with a later checkpoint"
      )
    }
    try take(recorded)
  }

  /// Goes on behind a transaction whose pages came in parts: these were in the journal, and are in the history as
  /// what became of them only.
  func takeRecorded(behind commit: ReplayedCommit) throws(StoreError) {
    guard let recorded else {
      throw commit.difference(
        "it is of an interactive transaction, and its pages cannot be read; begin the replay with a later checkpoint"
      )
    }
    try take(recorded)
  }

  /// What is kept of earlier states is kept by pages of their size.
  func compareContent(beforeResizingTo pageSize: UInt32) throws(StoreError) {
    guard Int(pageSize) != session.snapshot.pageSize, !unproven.isEmpty else { return }
    try compareContent()
  }

  /// The last state is as recorded.
  func forgetUnproven() {
    file.forgetEarlier()
    unproven = []
  }

  private func take(_ recorded: Snapshot) throws(StoreError) {
    guard recorded.checksum != session.snapshot.checksum else { return }
    if !unproven.isEmpty { try compareContent() }
    let entries = try file.take(recorded, over: session.snapshot)
    let meta = CommitMeta(
      commit: recorded.extent.commits, time_ms: recorded.extent.time_ms,
      entropy: Identifier128(high: 0, low: 0), pageSize: UInt32(recorded.pageSize),
      pageCount: recorded.pageCount, checksum: recorded.checksum, rejected: recorded.rejected)
    session = try Session(
      session.snapshot.adding(
        entries: entries, in: file.segment, meta: meta, extent: recorded.extent),
      settings, history.environment)
    forgetUnproven()
  }
}
