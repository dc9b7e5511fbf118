internal import SluiceJournal
internal import SluiceLease
internal import SluiceShared

extension LeaseObservation {
  /// Of the log's newest segment. nil: that is gone again (a file server that lost power), or its open
  /// is; look once more. `observed` is what was found the last time, nil where that is to be listed anew.
  ///
  /// While the mark of the segment seen last is empty, nobody has published in a later one, and the one read
  /// of its first blocks is all. Whether somebody is about to is found out by the claim, which lists.
  static func newest(of log: Log, _ observed: inout LogSegment?) throws(StoreError)
    -> LeaseObservation?
  {
    if let segment = observed, let control = try log.control(of: segment), !control.isClosed,
      let beacon = control.beacon
    {
      return LeaseObservation(segment, beacon)
    }
    observed = nil
    // A listing that took very long can miss those that went and those that came.
    var listed = try log.listed()
    if listed.isEmpty { listed = try log.listed() }
    guard let number = listed.first else {
      throw StoreError(.damaged, Log.noSegment, path: log.store.layout.log)
    }
    guard let segment = try log.open(number), let control = try log.control(of: segment)
    else { return nil }
    observed = segment
    return LeaseObservation(segment, control.beacon)
  }

  private init(_ segment: LogSegment, _ beacon: Beacon?) {
    self.init(
      segment: segment.number, counter: beacon?.counter ?? 0,
      isReleased: beacon?.state == .released)
    hints = beacon?.status.hints.endpoint
    txid = beacon?.extent.txid ?? .zero
    nextBeat = .milliseconds(beacon?.status.nextBeat_ms ?? 0)
  }
}
