package import SluiceReader
package import SluiceSQLite
public import SluiceShared

/// One read transaction: every query in it sees the same snapshot. Usable only within the body that
/// `Database.read` calls, on its thread.
public final class ReadTransaction {
  package let snapshot: Snapshot
  private var connection: ReadConnection?

  init(_ connection: ReadConnection, _ snapshot: Snapshot) {
    self.connection = connection
    self.snapshot = snapshot
  }

  func end() { connection = nil }

  /// The last batch that it sees.
  public var txid: TxID { snapshot.txid }

  /// The rows that a statement returns, and their columns' names.
  public struct Rows: Hashable, Sendable {
    public var columns: [String]
    public var rows: [[SQLValue]]
  }

  /// All rows of one statement.
  public func query(_ sql: String, _ parameters: [SQLValue] = []) throws -> [[SQLValue]] {
    try withStatement(sql, parameters) { statement in
      var rows: [[SQLValue]] = []
      while try statement.step() { rows.append(statement.row) }
      return rows
    }
  }

  /// All rows of one statement, with the names of the columns.
  public func rows(_ sql: String, _ parameters: [SQLValue] = []) throws -> Rows {
    try withStatement(sql, parameters) { statement in
      var rows: [[SQLValue]] = []
      while try statement.step() { rows.append(statement.row) }
      // After stepping, which may compile the statement anew for a changed schema.
      return Rows(columns: (0..<statement.columnCount).map(statement.columnName), rows: rows)
    }
  }

  /// The first column of the first row; nil when there is no row.
  public func scalar(_ sql: String, _ parameters: [SQLValue] = []) throws -> SQLValue? {
    try withStatement(sql, parameters) { statement in
      try statement.step() && statement.columnCount > 0 ? statement.columnValue(0) : nil
    }
  }

  /// Runs `body` with the statement, bound and not yet stepped: for results that are better taken
  /// row by row. The statement is kept for the next call with the same text.
  package func withStatement<R>(
    _ sql: String, _ parameters: [SQLValue] = [], _ body: (Statement) throws -> R
  ) throws -> R {
    guard let connection else {
      throw StoreError(.invalid, "the read transaction is over; query within the body of `read`")
    }
    return try connection.withStatement(sql, parameters, body)
  }
}
