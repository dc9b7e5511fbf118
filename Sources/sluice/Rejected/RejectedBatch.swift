import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared

/// A row of `_sluice_rejected`.
struct RejectedBatch {
  var txid: TxID
  var writer: String
  var sequence: Int64
  var key: String?
  var time_ms: Int64
  var code: String
  var message: String

  /// All that the database has, in their order.
  static func all(in transaction: ReadTransaction, of txid: TxID? = nil) throws -> [RejectedBatch] {
    let rows = try transaction.query(
      "SELECT txid, writer, sequence, key, time, code, message FROM _sluice_rejected WHERE ?1 IS NULL OR txid = ?1 ORDER BY txid",
      [txid.map { .integer(Int64($0.rawValue)) } ?? .null])
    return rows.compactMap(RejectedBatch.init)
  }

  private init?(_ row: [SQLValue]) {
    guard row.count == 7, case .integer(let txid) = row[0], case .blob(let writer) = row[1],
      case .integer(let sequence) = row[2], case .integer(let time_ms) = row[4],
      case .text(let code) = row[5], case .text(let message) = row[6]
    else { return nil }
    self.txid = TxID(UInt64(txid))
    self.writer = writer.withUnsafeBytes { raw in
      var reader = ByteReader(raw)
      return (try? reader.identifier())?.description ?? ""
    }
    self.sequence = sequence
    if case .text(let key) = row[3] { self.key = key }
    self.time_ms = time_ms
    self.code = code
    self.message = message
  }

  /// `12  2026-11-22T10:00:00.000Z  guardFailed: …  key order-4711`
  var text: String {
    let named = key.map { "  key \($0.printable)" } ?? ""
    return "\(txid)  \(timestamp(time_ms))  \(code): \(message.printable)\(named)"
  }

  var json: String {
    var object = JSONObject()
    object.add("txid", txid.rawValue)
    object.add("time", timestamp(time_ms))
    object.add("writer", writer)
    object.add("sequence", sequence)
    if let key { object.add("id", key) }
    var error = JSONObject()
    error.add("code", code)
    error.add("message", message)
    object.add("error", error)
    return object.text
  }
}
