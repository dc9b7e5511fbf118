internal import CSQLite
internal import SluiceJournal
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared

/// The checkpoint with which a new line of the history begins: a state of the old one, under the line's TxID.
///
/// The applier's memory in it is that of the state, so what is still in the journal of the lost batches is
/// executed again, and a writer whose lost batches are nowhere is refused at its next one. SQLite's change
/// counter goes beyond every value that it had in the lost part, so that no connection takes its pages of
/// that for pages of this.
struct LineCheckpoint {
  let checkpoint: Checkpoint
  let description: StoreDescription
  let extent: LogExtent

  /// Makes it of `state`, durably.
  func make(of state: Snapshot) throws(StoreError) {
    let environment = checkpoint.environment
    let fileSystem = environment.fileSystem
    let name = StoreLayout.checkpointName(extent.txid)
    let temporary = StoreLayout.temporaryName(
      "\(checkpoint.layout.checkpoints)/\(name)", environment.random())
    defer { try? fileSystem.unlink(temporary) }
    try SnapshotImage(state, environment).write(to: temporary, mode: 0o600)
    try renumber(temporary)
    try raiseChangeCounter(temporary, fileSystem)
    try checkpoint.adopt(temporary, description, as: extent, rejected: state.rejected)
    try prove()
  }

  private func renumber(_ path: String) throws(StoreError) {
    do throws(SQLiteError) {
      let database = try Connection(
        path: SourceDatabase.sqliteName(path), flags: [.readWrite, .noMutex])
      // The file is thrown away where this fails, and synced behind it.
      try database.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
      _ = try database.query(
        "UPDATE _sluice_state SET txid = ?, commits = ?, time = ?",
        [
          .integer(Int64(extent.txid.rawValue)), .integer(Int64(extent.commits)),
          .integer(extent.time_ms),
        ])
      try database.close()
    } catch {
      throw StoreError(
        error.primary == SQLITE_FULL ? .io : .damaged,
        "SQLite cannot write the state that is to be gone on from: \(error.message)", path: path)
    }
  }

  /// It stands twice in page 1, big-endian: the second says for which value the size beside it holds.
  private func raiseChangeCounter(_ path: String, _ fileSystem: any FileSystem)
    throws(StoreError)
  {
    let file = try fileSystem.open(path, .write)
    let bytes = try file.read(4, at: 24)
    let counter = bytes.reduce(0 as UInt32) { $0 << 8 | UInt32($1) } &+ Limits.commitsLostAtMost
    let raised = (0..<4).map { UInt8(truncatingIfNeeded: counter >> (24 - 8 * $0)) }
    try file.write(raised, at: 24)
    try file.write(raised, at: 92)
    try file.sync()
  }

  /// It opens, and says of itself what its name says.
  private func prove() throws(StoreError) {
    let snapshot = try Snapshot(checkpoint: extent.txid, of: checkpoint.store)
    let reader = try DatabaseReader(snapshot, [], checkpoint.environment)
    let said = try reader.reading { (connection) throws(SQLiteError) in
      try connection.scalar("SELECT txid FROM _sluice_state")
    }
    guard said == .integer(Int64(extent.txid.rawValue)) else {
      throw StoreError(
        .damaged, "the checkpoint of the new line says that it is of another batch",
        path: checkpoint.layout.checkpoints)
    }
  }
}
