internal import SluiceJournal
internal import SluiceShared
internal import SluiceVFS

extension StoreFileSystem {
  /// What the parameters of a URI ask for.
  func freshness(_ name: VFSName) throws(StoreError) -> Freshness {
    for refused in ["immutable", "nolock"] where name.flag(refused) {
      throw StoreError(
        .invalid,
        "\(refused)=1 would hide other processes' commits; leave it out, or read a checkpoint file")
    }
    let fresh = name.parameter("fresh")
    guard fresh ?? "latest" == "latest" else {
      throw StoreError(.invalid, "fresh=\(fresh ?? "") is not known; the only value is latest")
    }
    let atLeast = try number(name, "at_least")
    let staleness = try number(name, "max_staleness_ms")
    let timeout = try number(name, "timeout_ms") ?? 30_000
    switch (fresh, atLeast, staleness, try past(name)) {
    case (_, nil, nil, nil): return .latest
    case (nil, let txid?, nil, nil): return .atLeast(TxID(txid), timeout: .milliseconds(timeout))
    case (nil, nil, let limit?, nil): return .maxStaleness(.milliseconds(limit))
    case (nil, nil, nil, let point?): return .asOf(point)
    default:
      throw StoreError(.invalid, "give one of fresh, at_least, max_staleness_ms, txid and at")
    }
  }

  private func past(_ name: VFSName) throws(StoreError) -> HistoryPoint? {
    switch (try number(name, "txid"), name.parameter("at")) {
    case (nil, nil): return nil
    case (let txid?, nil): return .txid(TxID(txid))
    case (nil, let text?):
      guard let time_ms = milliseconds(ofTimestamp: text) else {
        throw StoreError(
          .invalid, "at=\(text) is no time; write it as 2026-11-22T10:00:00Z (RFC 3339)")
      }
      return .time_ms(time_ms)
    case (_?, _?): throw StoreError(.invalid, "give one of txid and at")
    }
  }

  private func number(_ name: VFSName, _ parameter: String) throws(StoreError) -> UInt64? {
    guard let text = name.parameter(parameter) else { return nil }
    guard let number = UInt64(text), number <= Int64.max else {
      throw StoreError(.invalid, "\(parameter)=\(text) is no whole number")
    }
    return number
  }
}
