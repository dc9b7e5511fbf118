import SluiceQuery
import SluiceSQLite
import SluiceShared

/// What a dump is made of: a snapshot of a store, or a plain database.
protocol DumpSource {
  func query(_ sql: String, _ parameters: [SQLValue]) throws -> [[SQLValue]]
  func scalar(_ sql: String, _ parameters: [SQLValue]) throws -> SQLValue?
  func withStatement<R>(
    _ sql: String, _ parameters: [SQLValue], _ body: (Statement) throws -> R
  ) throws -> R
}

extension ReadTransaction: DumpSource {}

extension Connection: DumpSource {
  func withStatement<R>(
    _ sql: String, _ parameters: [SQLValue], _ body: (Statement) throws -> R
  ) throws -> R {
    let statement = try prepare(sql)
    try statement.bind(parameters)
    return try body(statement)
  }
}
