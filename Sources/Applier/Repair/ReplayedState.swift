internal import SluiceJournal
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared

/// The end of a history whose pages cannot all be read, made by executing its batches again.
final class ReplayedState {
  let snapshot: Snapshot
  /// The database has the checksum that its last commit says; else other pages with the same rows.
  let isSame: Bool
  /// Removed with this object.
  private let directory: MadeDirectory

  /// From checkpoint `base` on. Throws `.damaged` where the batches cannot be read, or do something else.
  init(
    _ layout: StoreLayout, _ description: StoreDescription, from base: TxID,
    recorded: DatabaseChecksum?, _ environment: Environment, note: @escaping (String) -> Void
  ) throws(StoreError) {
    directory = try MadeDirectory(environment.fileSystem, environment.random())
    let path = "\(directory.path)/replayed"
    let history = try RecordedHistory(store: layout.root, environment)
    let summary = try Replay.run(history, into: path, from: base, note: note)
    guard summary.last == history.extent.txid else {
      throw StoreError(.damaged, "the replay ended at batch \(summary.last)", path: layout.log)
    }
    let rejected = try Self.rejected(path)
    let made = StoreHandle(
      layout: StoreLayout(archive: directory.path), id: description.id, environment: environment)
    try Checkpoint(of: made).adopt(path, description, as: history.extent, rejected: rejected)
    snapshot = try Snapshot(checkpoint: history.extent.txid, of: made)
    isSame = snapshot.checksum == recorded
  }

  private static func rejected(_ path: String) throws(StoreError) -> UInt64 {
    do throws(SQLiteError) {
      let database = try Connection(
        path: SourceDatabase.sqliteName(path), flags: [.readOnly, .noMutex])
      guard case .integer(let count)? = try database.scalar("SELECT rejected FROM _sluice_state")
      else { return 0 }
      return UInt64(max(0, count))
    } catch {
      throw StoreError(.damaged, "the replayed database cannot be read: \(error.message)")
    }
  }
}

extension Repair {
  /// Where pages are missing and the batches are there, these make the state.
  func replay(_ plan: inout Plan, _ salvage: Salvage, _ summary: Verification.Summary)
    throws(StoreError)
  {
    guard let description = plan.description, plan.steps.isEmpty, !plan.losesUnknown,
      let state = plan.state, state.txid < salvage.latest.txid,
      let base = summary.checkpoints.last(where: { $0 <= state.txid })
    else { return }
    note(
      "the batches behind batch \(base) are executed again, since pages that they made are damaged")
    do throws(StoreError) {
      let replayed = try ReplayedState(
        layout, description, from: base, recorded: salvage.checksum(of: salvage.latest.txid),
        environment, note: note)
      guard replayed.snapshot.txid >= salvage.latest.txid else { return }
      plan.replayed = replayed
      plan.state = replayed.snapshot
    } catch {
      guard [.damaged, .foreign, .unsupported, .snapshotExpired, .invalid].contains(error.code)
      else { throw error }
      note("that is not possible: \(error)")
    }
  }
}
