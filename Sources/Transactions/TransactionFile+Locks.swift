internal import CSQLite
internal import SluiceShared
package import SluiceVFS
internal import SluiceWriter

extension TransactionFile {
  package func lock(_ level: Int32) throws(VFSFailure) {
    try checkProcess()
    switch level {
    case SQLITE_LOCK_SHARED:
      OwedSleep.skipNone()
      try base.lock(level)
      if overlay.isEmpty { overlay.begin(pageSize: base.pageSize) }
      state.pin()
    case SQLITE_LOCK_RESERVED: try reserve()
    default:
      // PENDING and EXCLUSIVE keep readers out of a file that is written in place. Nothing is here.
      guard state.isWriting else { throw .lock }
    }
  }

  package func unlock(_ level: Int32) throws(VFSFailure) {
    if level == SQLITE_LOCK_NONE {
      overlay.removeAll()
      let unused = state.release()
      try base.unlock(level)
      if let unused { giveBack(unused) }
      return
    }
    let unused = state.downgrade()
    // Its own commit a cursor goes on to see.
    if case .readingOwn = state.stage {} else { overlay.removeAll() }
    if let unused { giveBack(unused) }
  }

  /// Begins to write on the pinned state.
  ///
  /// The turn comes with a state that is newer than the pinned one as a rule. So it is asked for where SQLite
  /// begins again by itself when it is told SQLITE_BUSY: nothing was read, and its busy handler waits. Otherwise
  /// the transaction goes on without, and commits if nobody else does before.
  private func reserve() throws(VFSFailure) {
    switch state.stage {
    case .reading(.forThis(let kept)) where isFresh(kept): begin(kept.turn)
    case .reading:
      if let old = state.giveUpClaim() { giveBack(old) }
      guard connection?.hasRead(self) == false else { return try beginWithoutTurn() }
      var patience = TurnPatience(busyHandler, environment.clock)
      guard patience.isThere else { return try beginWithoutTurn() }
      try begin(with: try requestedTurn(&patience), patience)
    case .readingOwn: throw refused(.busySnapshot, .ownCursor(base.path))
    case .writing: return
    case .unlocked, .accepted, .undone: throw .lock
    }
  }

  private func isFresh(_ kept: TransactionState.KeptTurn) -> Bool {
    kept.turn.base == base.txid && environment.clock.elapsed() - kept.since < Limits.keptTurn
  }

  private func begin(_ turn: Turn?) {
    lastSign = environment.clock.elapsed()
    state.begin(turn)
    base.forgetRefusal()
  }

  private func begin(with turn: Turn, _ patience: TurnPatience) throws(VFSFailure) {
    guard turn.base != base.txid else { return begin(turn) }
    // Nobody would take it, and all would wait for its end.
    guard patience.leavesAnotherTry() else {
      giveBack(turn)
      throw refused(.busy, .unusedTurn(base.path))
    }
    state.keep(turn, since: environment.clock.elapsed())
    base.see(turn.base)
    // The handler that SQLite asks now has nothing to sleep for.
    OwedSleep.skipNext()
    throw refused(.busy, .keptTurn(base.path), isFinal: false)
  }

  /// Says now that the transaction cannot succeed where that is known; else COMMIT says it.
  private func beginWithoutTurn() throws(VFSFailure) {
    let newest: TxID
    do throws(StoreError) { newest = try base.newest() } catch { throw failed(.lock, error) }
    guard newest == base.txid else {
      throw refused(.busySnapshot, .overtaken(base, by: newest.rawValue, nil))
    }
    begin(nil)
  }

  private func requestedTurn(_ patience: inout TurnPatience) throws(VFSFailure) -> Turn {
    do throws(StoreError) {
      if let turn = try client().requestTurn(keepsWaiting: { patience.lasts() }) { return turn }
    } catch {
      throw told(Self.failure(ofRequest: error), error)
    }
    throw refused(.busy, .lateTurn(base, now_ms: environment.clock.wallTime_ms()))
  }

  /// Lets the turn last while the transaction works.
  func giveSignOfLife() {
    guard case .writing(let turn?) = state.stage else { return }
    let now = environment.clock.elapsed()
    guard now - lastSign >= Limits.signOfLife else { return }
    lastSign = now
    madeClient?.extend(turn)
  }

  private static func failure(ofRequest error: StoreError) -> VFSFailure {
    switch error.code {
    case .timeout, .busy, .backlogFull: .busy
    case .invalid: VFSFailure(SQLITE_READONLY)
    default: .lock
    }
  }
}
