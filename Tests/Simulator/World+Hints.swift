import SluiceFakes
import SluiceHints
import SluiceJournal
import SluiceShared

extension World {
  /// Where an applier of this machine takes hints.
  func hintAddress(of machine: Machine) -> HintAddress? {
    guard plan.takesHints else { return nil }
    guard !plan.hintsStayOnHost else { return .loopback }
    return SimulatedHints.address(ofMachine: number(of: machine))
  }

  func hintNetwork(_ process: SimulatedProcess, _ machine: Machine) -> any HintNetwork {
    guard plan.takesHints else { return NoHints() }
    return hints.network(of: process, machine: number(of: machine)) { [weak machine] in
      machine?.isCutOff ?? true
    }
  }

  private func number(of machine: Machine) -> Int {
    machines.firstIndex { $0 === machine } ?? machines.count
  }

  /// A stranger who can read the store, and so knows the token, says what it likes.
  func forgedHint(_ datagram: HintDatagram) -> [UInt8]? {
    let length = scheduler.random.below(130)
    let endpoints = observer.beacons.compactMap { $0.beacon.status.hints.endpoint }
    for endpoint in endpoints {
      guard var hint = Hint(datagram.bytes, sealedWith: endpoint.token) else { continue }
      // As of a process that serves many stores, which tells without being asked.
      if scheduler.random.chance(0.05) { return Hint(.released).sealed(with: endpoint.token) }
      let isQuestion = hint.kind.isQuestion || [.written, .full].contains(hint.kind)
      let kinds: [Hint.Kind] =
        isQuestion
        ? [.written, .full, .question, .standby, .follower] : [.published, .heard, .released]
      hint.kind = kinds[scheduler.random.below(kinds.count)]
      if scheduler.random.chance(0.3) {
        hint.batch = BatchID(
          writer: hint.batch.writer,
          sequence: SequenceNumber(UInt64(scheduler.random.below(1000))))
      }
      if scheduler.random.chance(0.5) { hint.txid = TxID(UInt64(scheduler.random.below(1000))) }
      if scheduler.random.chance(0.1) { hint.nonce = scheduler.random.next() }
      // As of somebody who stands by or follows, of whom there may be none.
      if hint.kind == .standby { count(.forgedStandbys) }
      if hint.kind == .follower { count(.forgedFollowers) }
      return hint.sealed(with: endpoint.token)
    }
    return (0..<length).map { _ in UInt8(truncatingIfNeeded: scheduler.random.next()) }
  }

  func count(_ counts: SimulatedHints.Counts) {
    count(.hints, counts.sent)
    count(.lostHints, counts.lost)
    count(.lateHints, counts.late)
    count(.reorderedHints, counts.reordered)
    count(.doubledHints, counts.doubled)
    count(.forgedHints, counts.forged)
  }
}
