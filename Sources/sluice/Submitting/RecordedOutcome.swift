import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter

/// What the store remembers of the first batch with a key; nil where it remembers none.
func recordedOutcome(ofKey key: String, store: String) throws -> AppliedOutcome? {
  let rows = try Database(path: store).read(.latest) { transaction in
    try transaction.query("SELECT txid, outcome FROM _sluice_keys WHERE key = ?", [.text(key)])
  }
  guard let row = rows.first else { return nil }
  guard row.count == 2, case .integer(let txid) = row[0], case .blob(let bytes) = row[1],
    let outcome = try? Outcome(decoding: bytes)
  else {
    throw StoreError(
      .damaged, "what is recorded for key \(key) cannot be read; is this a newer store?",
      path: store)
  }
  return AppliedOutcome(txid: TxID(UInt64(txid)), outcome: outcome)
}
