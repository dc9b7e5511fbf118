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
      "INSERT INTO accounts VALUES (?, ?)",
      rows: (1...accounts).map { [.integer($0), .integer(balance)] }),
  ])

  /// The batch `number` of `writer`: odd ones are transfers with a key, which may be submitted again
  /// when their outcome is unknown; even ones have none, so that only the journal's own sequence
  /// numbers keep them from being done twice.
  static func batch(_ writer: String, _ number: Int64) -> Batch {
    var statements = [
      Batch.Statement("INSERT INTO entries VALUES (?, ?)", [.text(writer), .integer(number)])
    ]
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

  static func isTransfer(_ number: Int64) -> Bool { number % 2 == 1 }

  static func transfer(_ number: Int64) -> (source: Int64, target: Int64, amount: Int64) {
    (number % accounts + 1, (number * 7 + 3) % accounts + 1, number % 13 + 1)
  }
}
