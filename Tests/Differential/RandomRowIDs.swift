import CSQLite
import SluiceSQLite
import SluiceShared

/// Notices where SQLite takes a rowid at random, as it does for a row without one in a table that
/// holds the largest there is: from there on the same batches do not do the same twice.
final class RandomRowIDs {
  /// One was taken: what follows cannot be compared.
  struct Taken: Error, CustomStringConvertible {
    var rowID: Int64
    var table: String

    var description: String { "SQLite took the random rowid \(rowID) in \(table)" }
  }

  /// The first since `begin`.
  private(set) var taken: Taken?
  /// Tables that hold the largest rowid, or held it since `begin`.
  private var full: Set<String> = []
  private var wasAnyFull = false

  /// Watches the rows that `connection` inserts and updates (`sqlite3_update_hook`); this object must
  /// outlive it.
  func watch(_ connection: Connection) {
    sqlite3_update_hook(
      connection.handle,
      { context, operation, _, table, rowID in
        guard let context, let table, operation != SQLITE_DELETE else { return }
        Unmanaged<RandomRowIDs>.fromOpaque(context).takeUnretainedValue()
          .note(rowID, in: String(cString: table), isNew: operation == SQLITE_INSERT)
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  /// Before each batch.
  func begin(_ connection: Connection) throws {
    taken = nil
    full = []
    guard wasAnyFull else { return }
    let names = try connection.query("SELECT name FROM sqlite_schema WHERE type = 'table'")
    for case .text(let name)? in names.map(\.first) {
      // Some have no rowids.
      let found = try? connection.scalar(
        "SELECT 1 FROM \(quote(name)) WHERE rowid = \(Int64.max)")
      if found == 1 { full.insert(name) }
    }
  }

  private func note(_ rowID: Int64, in table: String, isNew: Bool) {
    if rowID == .max {
      full.insert(table)
      wasAnyFull = true
    } else if isNew, full.contains(table), Self.random.contains(rowID),
      !Values.integers.contains(rowID), !Values.reals.contains(Double(rowID))
    {
      taken = taken ?? Taken(rowID: rowID, table: table)
    }
  }

  /// SQLite takes one from 1 to 2⁶². Those that a batch names itself are small, but for a few; of the
  /// random ones one in a thousand million is as small.
  private static let random: ClosedRange<Int64> = (1 << 32)...(1 << 62)
}
