import SluiceFakes
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
  /// The table `again` is dropped, made anew, filled and indexed.
  case remakeTable
  /// It gets another column; where it was never made, rejected.
  case widenTable
  /// It is dropped, others are made, and then all of that is rolled back.
  case ruinTables
  /// Defers its foreign keys and breaks one for a while, or for good: then it is rejected.
  case deferred(isMended: Bool)
  /// Breaks a foreign key at once: rejected, whatever a batch before it deferred.
  case orphan
  /// Makes a table that would hide `op` from every batch behind it: refused.
  case shadow
  /// Only where nothing is left of what batches before it counted, and writes down what it counts.
  case counters
  /// Asks for rows.
  case returning
  /// Every other row.
  case delete
  /// Rewrites the whole database, in pages of this size if there is one; writes no row.
  case compact(pageSize: Int?)
  /// Done by a process itself, on a snapshot: as a transfer, of what there is.
  case interactive(from: Int, to: Int, amount: Int64, Sabotage?)
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
      .integer(name), padding == 0 ? .null : .blob(noise),
    ]
    var batch = Batch([Batch.Statement(NamedWork.insert, row)], key: key)
    switch work {
    case .append, .lethal: break
    // Its pages are made by who does it.
    case .interactive: batch.statements = []
    case .compact(let pageSize):
      batch.statements =
        (pageSize.map { [Batch.Statement("PRAGMA page_size = \($0)")] } ?? [])
        + [Batch.Statement(NamedWork.compaction + "\(name)")]
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
    case .shadow:
      batch.statements.append(
        Batch.Statement(
          "CREATE TABLE temp.op(place INTEGER PRIMARY KEY, name, noise, second, padding)"))
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
    case .remakeTable:
      batch.statements += [
        Batch.Statement("DROP TABLE IF EXISTS again"),
        Batch.Statement("CREATE TABLE again(x)"),
        Batch.Statement("INSERT INTO again VALUES (?)", [.integer(name)]),
        Batch.Statement("CREATE UNIQUE INDEX again_x ON again(x)"),
      ]
    case .widenTable:
      batch.statements.append(
        Batch.Statement("ALTER TABLE again ADD COLUMN c\(name) DEFAULT \(name)"))
    case .ruinTables:
      batch.statements += [
        Batch.Statement("DROP TABLE IF EXISTS again"),
        Batch.Statement("CREATE TABLE made\(name)(x)"),
        Batch.Statement("CREATE INDEX ruined ON op(second)"),
        Batch.Statement(
          "INSERT OR ROLLBACK INTO op(place, name, noise, second) VALUES (1, ?, 0, 0)",
          [.integer(name)]),
      ]
    }
    return batch
  }

  /// The key of an interactive transaction, before its name.
  static let interactive = "transaction "
  var isInteractive: Bool { if case .interactive = work { true } else { false } }

  /// The work's name stands behind it.
  private static let compaction = "VACUUM -- "

  /// It does not compress, so that segments fill.
  private var noise: [UInt8] {
    var random = SeededRandom(seed: UInt64(bitPattern: name))
    return [UInt8](unsafeUninitializedCapacity: padding + 8) { buffer, count in
      let bytes = UnsafeMutableRawBufferPointer(buffer)
      for place in stride(from: 0, to: padding, by: 8) {
        bytes.storeBytes(of: random.next(), toByteOffset: place, as: UInt64.self)
      }
      count = padding
    }
  }

  private var breakKey: Batch.Statement {
    Batch.Statement("INSERT INTO child VALUES (?)", [.integer(name)])
  }

  /// The name that a batch read back from the log has; nil where it is none of these.
  static func name(of batch: Batch) -> Int64? {
    if case .commit? = batch.step {
      return batch.key.flatMap { Int64($0.dropFirst(interactive.count)) }
    }
    if let sql = batch.statements.last?.sql, sql.hasPrefix(compaction) {
      return Int64(sql.dropFirst(compaction.count))
    }
    guard let statement = batch.statements.first, statement.sql == insert,
      case .integer(let name) = statement.rows.first?.first
    else { return nil }
    return name
  }
}
