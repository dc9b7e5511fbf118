internal import CSQLite
package import SluiceShared

/// A row that is about to be changed. Valid only during the hook's call.
///
/// Values are as SQLite has them: of a column that is REAL an integer may stand for a real, and in which order
/// they come says `RowReading`.
package struct RowEvent: ~Copyable {
  package enum Kind: Hashable, Sendable { case insert, update, delete }

  package let kind: Kind
  /// Of a table without rowids 0.
  package let oldRowID: Int64
  package let newRowID: Int64
  private let database: OpaquePointer
  private let schema: UnsafePointer<CChar>
  private let name: UnsafePointer<CChar>
  private let absent: OpaquePointer?

  init(
    _ kind: Kind, _ oldRowID: Int64, _ newRowID: Int64, _ database: OpaquePointer,
    _ schema: UnsafePointer<CChar>, _ name: UnsafePointer<CChar>, absent: OpaquePointer?
  ) {
    self.kind = kind
    self.oldRowID = oldRowID
    self.newRowID = newRowID
    self.database = database
    self.schema = schema
    self.name = name
    self.absent = absent
  }

  /// "main", or "temp".
  package var schemaName: String { String(cString: schema) }
  package var table: String { String(cString: name) }

  /// The row before; of an insertion nothing. nil: its record ends before the column, which was added to the
  /// table later and has its default there.
  package var old: [SQLValue?] { kind == .insert ? [] : values(after: false) }
  /// The row behind; of a deletion nothing. nil as in `old`: SQLite copies records from one table into another.
  package var new: [SQLValue?] { kind == .delete ? [] : values(after: true) }

  private func values(after: Bool) -> [SQLValue?] {
    (0..<csqlite_preupdate_count(database)).map { column in
      guard let value = csqlite_preupdate_value(database, after ? 1 : 0, column), value != absent
      else { return nil }
      return SQLValue(value)
    }
  }
}

/// Keeps the closure that SQLite calls before it changes a row.
package final class RowHook {
  fileprivate let body: (borrowing RowEvent) -> Void
  fileprivate let absent: OpaquePointer?

  fileprivate init(_ body: @escaping (borrowing RowEvent) -> Void, absent: OpaquePointer?) {
    self.body = body
    self.absent = absent
  }

  /// Whether this SQLite has it (`SQLITE_ENABLE_PREUPDATE_HOOK`), as Debian's has.
  package static var isAvailable: Bool { csqlite_has_preupdate() != 0 }
}

extension Connection {
  /// Calls `body` before each row of an ordinary table is inserted, updated or deleted, by triggers and
  /// foreign keys too (`sqlite3_preupdate_hook`). Nil removes it. `body` must not use the connection.
  ///
  /// Not told are rows of SQLite's own tables, of virtual tables (but of the tables that these keep their
  /// content in), and what DDL does to a whole table. With a hook a DELETE of all rows goes row by row.
  package func setRowHook(_ body: ((borrowing RowEvent) -> Void)?) {
    let hook = body.map { RowHook($0, absent: csqlite_absent_value(handle)) }
    let context = hook.map { Unmanaged.passUnretained($0).toOpaque() }
    csqlite_preupdate_hook(
      handle,
      hook == nil
        ? nil
        : { context, database, operation, schema, table, oldRowID, newRowID in
          guard let context, let database, let schema, let table else { return }
          let kind: RowEvent.Kind =
            switch operation {
            case SQLITE_INSERT: .insert
            case SQLITE_UPDATE: .update
            default: .delete
            }
          let hook = Unmanaged<RowHook>.fromOpaque(context).takeUnretainedValue()
          hook.body(
            RowEvent(kind, oldRowID, newRowID, database, schema, table, absent: hook.absent))
        }, context)
    rowHook = hook
  }
}
