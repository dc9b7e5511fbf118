internal import Logging
internal import SluiceJournal
internal import SluiceShared

/// A turn that is out: its holder commits next.
struct GrantedTurn {
  /// The TxID of the batch that asked for it, and so the state that it begins on.
  let number: TxID
  let holder: WriterID
  /// The user whose file the batch was in.
  let owner: UInt32
  /// When it was granted (boot time).
  let granted: Duration

  /// Whether its time is over, where its holder was heard last at `heard`.
  func isOver(at now: Duration, heard: Duration?) -> Bool {
    let heard = max(granted, heard ?? granted)
    return now - heard >= Limits.turnTime || now - granted >= Limits.longestTurn
  }
}

/// The turn of an interactive transaction: who has it commits next, and everybody else waits for so long.
///
/// It makes a transaction succeed, and no promise rests on it: pages are accepted over the newest state only,
/// whoever has the turn. So it may end at any time, and a term begins without one (GUARANTEES, 9).
extension Leader {
  /// Whether all that waits waits for the holder of the turn. Where its batches wait, they come first, also
  /// behind its time: it is this applier that was late then.
  func waitsForTurn() throws(StoreError) -> Bool {
    guard let turn, environment.makes(.turnExcludes) else { return false }
    if intake.waiting.has(turn.holder) {
      if intake.next(1, bytes: .max).first?.id.writer == turn.holder { return false }
      return !intake.bringForward { $0.writer == turn.holder }
    }
    // As of the last look: it may have taken long, and signs of life that came meanwhile are in the next.
    guard turn.isOver(at: intake.lookBegan, heard: intake.lastNews(of: turn.holder)),
      environment.makes(.turnEnds)
    else { return true }
    logger.notice(
      "a transaction did not end within its turn; others go on",
      metadata: ["writer": "\(turn.holder)", "turn": "\(turn.number)"])
    charge(turn)
    self.turn = nil
    return false
  }

  /// While it was out everybody else waited. Where that was longer than two groups take, its writer and user owe it
  /// to the others.
  private func charge(_ turn: GrantedTurn) {
    let time = environment.clock.elapsed() - turn.granted
    // What a beacon names is not planned anew.
    guard time > Session.longestGroup * 2, !status.isWatched else { return }
    intake.charge(turn.holder, of: turn.owner, time)
  }

  /// The turn that is out behind what was done of `batches`.
  func turn(after done: Session.Done, of batches: ArraySlice<PendingBatch>) -> GrantedTurn? {
    guard done.committed > 0, let last = batches.prefix(done.count).last else { return turn }
    // Whatever its holder had executed meanwhile is behind the state that it begins on.
    let isOver = done.grantsTurn || last.id.writer == turn?.holder
    if isOver, let turn { charge(turn) }
    if done.grantsTurn {
      return GrantedTurn(
        number: execution.extent.txid, holder: last.id.writer, owner: last.owner,
        granted: environment.clock.elapsed())
    }
    return isOver ? nil : turn
  }
}
