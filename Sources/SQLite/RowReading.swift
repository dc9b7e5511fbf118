internal import SluiceShared

/// How this SQLite tells a row's values in a `RowEvent`. It depends on the version, so it is tried.
package struct RowReading: Sendable {
  /// Which row of an event.
  package enum Side: Hashable, Sendable { case old, inserted, updated }

  /// Where values come in the order of a record, in which generated columns that are not stored are missing.
  /// Everywhere else they come in the order of the table's columns.
  private let inRecordOrder: Set<Place>
  /// Whether a value that a record ends before is told from a NULL that it has.
  package let tellsAbsent: Bool

  private struct Place: Hashable {
    var side: Side
    var hasRowIDs: Bool
  }

  package func hasRecordOrder(_ side: Side, hasRowIDs: Bool) -> Bool {
    inRecordOrder.contains(Place(side: side, hasRowIDs: hasRowIDs))
  }

  package init() throws(SQLiteError) {
    var found: Set<Place> = []
    for hasRowIDs in [true, false] {
      for (side, values) in try Self.sides(hasRowIDs: hasRowIDs) where values.first == .text("b") {
        found.insert(Place(side: side, hasRowIDs: hasRowIDs))
      }
    }
    inRecordOrder = found
    tellsAbsent = try Self.tellsAbsent()
  }

  private static func sides(hasRowIDs: Bool) throws(SQLiteError) -> [Side: [SQLValue?]] {
    let connection = try Connection(path: ":memory:", flags: [.readWrite, .memory, .noMutex])
    try connection.execute(
      "CREATE TABLE t(a AS (1) VIRTUAL, b, c PRIMARY KEY)\(hasRowIDs ? "" : " WITHOUT ROWID")")
    var seen: [Side: [SQLValue?]] = [:]
    connection.setRowHook { event in
      switch event.kind {
      case .insert: seen[.inserted] = event.new
      case .update:
        seen[.old] = event.old
        seen[.updated] = event.new
      case .delete: break
      }
    }
    try connection.execute("INSERT INTO t VALUES ('b', 'c'); UPDATE t SET c = 'd'")
    return seen
  }

  private static func tellsAbsent() throws(SQLiteError) -> Bool {
    let connection = try Connection(path: ":memory:", flags: [.readWrite, .memory, .noMutex])
    try connection.execute(
      "CREATE TABLE t(a); INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN b DEFAULT 2; INSERT INTO t VALUES (3, NULL)"
    )
    var seen: [[SQLValue?]] = []
    connection.setRowHook { event in seen.append(event.old) }
    try connection.execute("DELETE FROM t")
    // Later versions of SQLite answer with the default itself.
    return [[1, nil], [1, 2]].contains(seen.first) && seen.last == [3, .null]
  }
}
