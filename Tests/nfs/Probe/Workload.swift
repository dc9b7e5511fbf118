import SluiceFakes
import SluiceJournal
import SluiceShared

/// What the writers do: move money between accounts, and add an entry for every batch, so that a
/// batch that is lost, done twice or out of order shows.
///
/// No table has a key that would refuse a batch done twice.
enum Workload {
  static let accounts: Int64 = 16
  static let balance: Int64 = 1000
  static var total: Int64 { accounts * balance }

  static let schema = Batch([
    Batch.Statement("CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)"),
    Batch.Statement("CREATE TABLE entries(writer TEXT NOT NULL, number INTEGER NOT NULL)"),
    Batch.Statement(
      "CREATE TABLE large(writer TEXT PRIMARY KEY, number INTEGER NOT NULL, content BLOB NOT NULL)"),
    // A row for each busy worker: its last batch, and how many did not follow the one before.
    Batch.Statement(
      "CREATE TABLE floods(worker TEXT PRIMARY KEY, number INTEGER NOT NULL, wrong INTEGER NOT NULL)"
    ),
    Batch.Statement(
      "INSERT INTO accounts VALUES (?, ?)",
      rows: (1...accounts).map { [.integer($0), .integer(balance)] }),
  ])

  /// The batch `number` of `writer`: odd ones are transfers with a key, which may be submitted again
  /// when their outcome is unknown; even ones have none, so that only the journal's own sequence
  /// numbers keep them from being done twice. A large one replaces the writer's large row too.
  static func batch(_ writer: String, _ number: Int64, isLarge: Bool = false) -> Batch {
    let name: [SQLValue] = [.text(writer), .integer(number)]
    var statements = [Batch.Statement("INSERT INTO entries VALUES (?, ?)", name)]
    if isLarge {
      statements.append(
        Batch.Statement(
          "INSERT OR REPLACE INTO large VALUES (?, ?, ?)",
          name + [.blob(largeContent(writer, number))]))
    }
    guard isTransfer(number) else { return Batch(statements) }
    let transfer = transfer(number)
    statements += [
      Batch.Statement(
        "UPDATE accounts SET balance = balance - ? WHERE id = ?",
        [.integer(transfer.amount), .integer(transfer.source)]),
      Batch.Statement(
        "UPDATE accounts SET balance = balance + ? WHERE id = ?",
        [.integer(transfer.amount), .integer(transfer.target)]),
    ]
    return Batch(statements, key: "\(writer)/\(number)")
  }

  /// The batch `number` of a busy worker.
  static func flood(_ worker: String, _ number: Int64) -> Batch {
    Batch([
      Batch.Statement(
        """
        INSERT INTO floods VALUES (?1, ?2, ?2 <> 1) ON CONFLICT(worker)
        DO UPDATE SET wrong = wrong + (excluded.number <> number + 1), number = excluded.number
        """, [.text(worker), .integer(number)])
    ])
  }

  /// 4 MiB that do not compress, so that the batch and its commit are longer than a WRITE can be.
  static func largeContent(_ writer: String, _ number: Int64) -> [UInt8] {
    var random = SeededRandom(
      seed: writer.utf8.reduce(UInt64(number)) { $0 &* 257 &+ UInt64($1) })
    var bytes: [UInt8] = []
    bytes.reserveCapacity(4 << 20)
    while bytes.count < 4 << 20 {
      let word = random.next()
      for shift in stride(from: 0, to: 64, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
      }
    }
    return bytes
  }

  static func isTransfer(_ number: Int64) -> Bool { number % 2 == 1 }

  static func transfer(_ number: Int64) -> (source: Int64, target: Int64, amount: Int64) {
    (number % accounts + 1, (number * 7 + 3) % accounts + 1, number % 13 + 1)
  }
}
