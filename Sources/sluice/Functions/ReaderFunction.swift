import SluiceJournal
import SluiceLambda
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared

/// Answers the event's query.
///
/// {"sql": "SELECT …", "parameters": [VALUE…], "atLeast": TXID} or "maxStaleness_ms": N in its place; only "sql" is
/// required, and without the last two the answer has all that anybody had seen before. The answer is {"txid": N,
/// "columns": ["a"…], "rows": [[VALUE…]…]}, with values as batches have them.
///
/// A query that is not done shortly before the function's time is over is interrupted: so the caller is told why, and
/// the environment goes on.
struct ReaderFunction: FunctionHandler {
  private let database: Database
  private let clock: any Clock = SystemClock()

  init(_ store: String) throws(StoreError) { database = try Database(path: store) }

  func answer(_ invocation: RuntimeAPI.Invocation) throws -> String {
    let query = try Query(invocation.json())
    let left = invocation.remaining(clock)
    guard left > Limits.functionReadReserve else {
      throw StoreError(
        .timeout, "nothing was read: \(left) are left of the function's time; give it more")
    }
    let waiting = max(.zero, left - Limits.functionReserve)
    return try database.read(
      query.freshness(within: waiting), within: left - Limits.functionReadReserve
    ) { transaction in
      try transaction.withStatement(query.sql, query.parameters) { statement in
        guard statement.isReadOnly else {
          throw StoreError(.invalid, "a query cannot write; send the statement to the writer")
        }
        return try ReaderFunction.json(statement, asOf: transaction.txid)
      }
    }
  }

  private static func json(_ statement: Statement, asOf txid: TxID) throws -> String {
    var rows = ""
    while try statement.step() {
      try statement.checkTexts()
      rows += rows.isEmpty ? "" : ", "
      JSON.append(row: statement.row, to: &rows)
      guard rows.utf8.count <= Limits.functionAnswerBytes else {
        throw StoreError(
          .limit,
          "the rows have more than \(Limits.functionAnswerBytes) bytes; ask for less at a time")
      }
    }
    // After stepping, which may compile the statement anew for a changed schema.
    let columns = (0..<statement.columnCount).map { column in
      var name = ""
      JSON.append(quoting: statement.columnName(column), to: &name)
      return name
    }
    var answer = JSONObject()
    answer.add("txid", txid.rawValue)
    answer.add("columns", columns)
    answer.add("rows", [rows])
    return answer.text
  }

  private struct Query {
    let sql: String
    let parameters: [SQLValue]
    private let atLeast: Int64?
    private let maxStaleness_ms: Int64?

    init(_ json: JSON) throws(StoreError) {
      let known = ["sql", "parameters", "atLeast", "maxStaleness_ms"]
      guard case .object(let members) = json, let sql = members["sql"]?.string,
        members.keys.allSatisfy(known.contains)
      else {
        throw StoreError(
          .invalid,
          "the event is an object with \"sql\", and no other members than \(known.joined(separator: ", "))"
        )
      }
      self.sql = sql
      var values: [SQLValue] = []
      if case .array(let parameters)? = members["parameters"] {
        for (i, parameter) in parameters.enumerated() {
          do throws(DecodingError) { values.append(try SQLValue(json: parameter)) } catch {
            throw StoreError(.invalid, "parameter \(i + 1): \(error)")
          }
        }
      } else if members["parameters"] != nil {
        throw StoreError(.invalid, "\"parameters\" is an array")
      }
      parameters = values
      atLeast = try Query.number(members, "atLeast")
      maxStaleness_ms = try Query.number(members, "maxStaleness_ms")
      guard atLeast == nil || maxStaleness_ms == nil else {
        throw StoreError(.invalid, "\"atLeast\" and \"maxStaleness_ms\" exclude each other")
      }
    }

    func freshness(within time: Duration) -> Freshness {
      if let atLeast { return .atLeast(TxID(UInt64(atLeast)), timeout: time) }
      if let maxStaleness_ms { return .maxStaleness(.milliseconds(maxStaleness_ms)) }
      return .latest
    }

    private static func number(
      _ members: [String: JSON], _ name: String
    ) throws(StoreError) -> Int64? {
      guard let json = members[name] else { return nil }
      guard let number = json.integer, number >= 0 else {
        throw StoreError(.invalid, "\"\(name)\" is an integer from 0")
      }
      return number
    }
  }
}
