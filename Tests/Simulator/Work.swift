import SluiceJournal
import SluiceShared

/// What one batch of a simulated writer is to do.
enum Work: Hashable {
  case append
  /// Two rows.
  case appendTwice
  /// Rejected where the account has less.
  case transfer(from: Int, to: Int, amount: Int64)
  /// Changes much, then ends the whole transaction: rejected, and nothing of it may stay.
  case ruin
  /// Only where the number of rows is even.
  case guarded
  case makeTable
  /// Defers its foreign keys and breaks one for a while, or for good: then it is rejected.
  case deferred(isMended: Bool)
  /// Breaks a foreign key at once: rejected, whatever a batch before it deferred.
  case orphan
  /// Only where nothing is left of what batches before it counted, and writes down what it counts.
  case counters
  /// Asks for rows.
  case returning
  /// Every other row.
  case delete
  /// Ends every process that begins to execute it.
  case lethal
}

/// A piece of work with a name that nothing else has: it goes into every row that is written, so
/// that each row tells whose it is.
struct NamedWork: Hashable {
  var name: Int64
  var work: Work
  var key: String?
  var padding: Int

  static let accounts = 8
  static let balance: Int64 = 100
  static let schema = """
    CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0));
    CREATE TABLE op(
      place INTEGER PRIMARY KEY, name INTEGER NOT NULL, noise INTEGER NOT NULL,
      second INTEGER NOT NULL, padding BLOB);
    CREATE TABLE parent(id INTEGER PRIMARY KEY);
    CREATE TABLE child(id INTEGER PRIMARY KEY REFERENCES parent(id));
    INSERT INTO op VALUES (1, 0, 0, 0, NULL);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(accounts))
      INSERT INTO account SELECT i, \(balance) FROM n;
    """

  private static let insert = """
    INSERT INTO op(name, noise, second, padding)
    VALUES (?, random(), CAST(strftime('%s', 'now') AS INTEGER), ?)
    """

  var batch: Batch {
    let row: [SQLValue] = [
      .integer(name), padding == 0 ? .null : .blob([UInt8](repeating: 7, count: padding)),
    ]
    var batch = Batch([Batch.Statement(NamedWork.insert, row)], key: key)
    switch work {
    case .append, .lethal: break
    case .appendTwice: batch.statements = [Batch.Statement(NamedWork.insert, rows: [row, row])]
    case .transfer(let from, let to, let amount):
      let move = "UPDATE account SET balance = balance + ? WHERE id = ?"
      batch.statements.append(
        Batch.Statement(
          move,
          rows: [
            [.integer(amount), .integer(Int64(to))], [.integer(-amount), .integer(Int64(from))],
          ]))
    case .ruin:
      batch.statements += [
        Batch.Statement("UPDATE account SET balance = balance + 1"),
        Batch.Statement(
          "INSERT OR ROLLBACK INTO op(place, name, noise, second) VALUES (1, ?, 0, 0)",
          [.integer(name)]),
        Batch.Statement("UPDATE account SET balance = balance + 1"),
      ]
    case .guarded: batch.guards = [Batch.Statement("SELECT count(*) % 2 = 0 FROM op")]
    case .deferred(let isMended):
      batch.statements += [Batch.Statement("PRAGMA defer_foreign_keys = ON"), breakKey]
      if isMended {
        batch.statements.append(
          Batch.Statement("INSERT INTO parent VALUES (?)", [.integer(name)]))
      }
    case .orphan: batch.statements.append(breakKey)
    case .counters:
      batch.guards = [Batch.Statement("SELECT changes() = 0 AND last_insert_rowid() = 0")]
      batch.statements.append(
        Batch.Statement(
          "INSERT INTO op(name, noise, second) VALUES (?, changes(), last_insert_rowid())",
          [.integer(name)]))
    case .returning:
      batch.wantsResults = true
      batch.statements.append(
        Batch.Statement("SELECT count(*), max(place), ? FROM op", [.text("x")]))
    case .delete:
      batch.statements.append(
        Batch.Statement("DELETE FROM op WHERE place > 1 AND place % 2 = 0"))
    case .makeTable: batch.statements.append(Batch.Statement("CREATE TABLE made\(name)(x)"))
    }
    return batch
  }

  private var breakKey: Batch.Statement {
    Batch.Statement("INSERT INTO child VALUES (?)", [.integer(name)])
  }

  /// The name that a batch read back from the log has; nil where it is none of these.
  static func name(of batch: Batch) -> Int64? {
    guard let statement = batch.statements.first, statement.sql == insert,
      case .integer(let name) = statement.rows.first?.first
    else { return nil }
    return name
  }
}
