internal import CSQLite
internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared
internal import SluiceVFS
internal import SluiceWriter

/// What the store remembers of the first batch with a key; nil where it remembers none.
///
/// It is asked for on a connection of its own: the one at hand is in the middle of compiling a statement, and may
/// be in a transaction that sees an older state.
func recordedOutcome(ofKey key: String, _ root: String, _ calls: SQLiteCalls) throws(StoreError)
  -> AppliedOutcome?
{
  let functions = calls.table.pointee
  func failure(_ connection: OpaquePointer?) -> StoreError {
    let text = functions.errmsg(connection).map { String(cString: $0) } ?? "out of memory"
    return StoreError(.io, "the outcome cannot be read: \(text)", path: root)
  }
  var connection: OpaquePointer?
  let flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI
  let opened = functions.open(ReadVFS.uri(root), &connection, flags, nil)
  defer { _ = functions.close(connection) }
  guard opened == SQLITE_OK else { throw failure(connection) }
  var statement: OpaquePointer?
  let sql = "SELECT txid, outcome FROM _sluice_keys WHERE key = ?"
  guard functions.prepare(connection, sql, -1, &statement, nil) == SQLITE_OK else {
    throw failure(connection)
  }
  defer { _ = functions.finalize(statement) }
  guard functions.bind_text(statement, 1, key, -1, csqlite_transient()) == SQLITE_OK else {
    throw failure(connection)
  }
  switch functions.step(statement) {
  case SQLITE_DONE: return nil
  case SQLITE_ROW: break
  default: throw failure(connection)
  }
  let bytes = UnsafeRawBufferPointer(
    start: functions.column_blob(statement, 1), count: Int(functions.column_bytes(statement, 1)))
  do throws(DecodingError) {
    let txid = TxID(UInt64(functions.column_int64(statement, 0)))
    return AppliedOutcome(txid: txid, outcome: try Outcome(decoding: Array(bytes)))
  } catch {
    throw StoreError(
      .damaged, "what is recorded for key \(key) cannot be read; is this a newer store?",
      path: root)
  }
}
