import SluiceJournal
import SluiceShared

/// What the workers write: a bank whose money only moves, and a table of events that only grows.
///
/// No table has a key that would refuse a batch done twice: it must show.
enum Bank {
  static let accounts = 64
  static let balance: Int64 = 1000
  static var total: Int64 { Int64(accounts) * balance }

  static let schema: [Batch.Statement] = [
    Batch.Statement("CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)"),
    Batch.Statement(
      """
      CREATE TABLE transfers(
        worker INTEGER NOT NULL, number INTEGER NOT NULL, source INTEGER NOT NULL,
        target INTEGER NOT NULL, amount INTEGER NOT NULL)
      """),
    Batch.Statement(
      """
      CREATE TABLE events(
        worker INTEGER NOT NULL, event INTEGER NOT NULL, time TEXT DEFAULT CURRENT_TIMESTAMP)
      """),
    Batch.Statement("CREATE INDEX events_by_worker ON events(worker, event)"),
    Batch.Statement(
      "INSERT INTO accounts VALUES (?, ?)",
      rows: (1...accounts).map { [.integer(Int64($0)), .integer(balance)] }),
  ]

  /// What a batch with money from nothing looks like; for seeing that it is noticed.
  static let counterfeit = Batch([
    Batch.Statement("UPDATE accounts SET balance = balance + 1 WHERE id = 1")
  ])
}

/// A worker's batch, as it means it.
struct Deed: Hashable, Sendable {
  struct Transfer: Hashable, Sendable {
    var source: Int64
    var target: Int64
    var amount: Int64
  }

  enum Kind: Hashable, Sendable {
    case transfer(Transfer)
    /// So many of the worker's events, the first numbered `first`.
    case append(first: Int64, count: Int64)
    /// The worker's deed of that number once more: same key, same content.
    case repeated(Int)
  }

  var worker: Int
  /// Counts the worker's batches, from 1.
  var number: Int
  var kind: Kind

  var key: String { "worker \(worker) batch \(number)" }

  /// The batch; a repeat's is the one that it repeats.
  func batch() -> Batch {
    let worker = SQLValue.integer(Int64(worker))
    switch kind {
    case .transfer(let transfer):
      let source = SQLValue.integer(transfer.source)
      let target = SQLValue.integer(transfer.target)
      let amount = SQLValue.integer(transfer.amount)
      return Batch(
        [
          Batch.Statement(
            "UPDATE accounts SET balance = balance - ? WHERE id = ?", [amount, source]),
          Batch.Statement(
            "UPDATE accounts SET balance = balance + ? WHERE id = ?", [amount, target]),
          Batch.Statement(
            "INSERT INTO transfers VALUES (?, ?, ?, ?, ?)",
            [worker, .integer(Int64(number)), source, target, amount]),
        ],
        key: key,
        guards: [
          Batch.Statement("SELECT balance >= ? FROM accounts WHERE id = ?", [amount, source])
        ])
    case .append(let first, let count):
      return Batch([
        Batch.Statement(
          "INSERT INTO events(worker, event) VALUES (?, ?)",
          rows: (first..<first + count).map { [worker, .integer($0)] })
      ])
    case .repeated:
      preconditionFailure("a repeat submits the batch that it repeats")
    }
  }
}

/// What a worker does next: a mix in which every outcome is sure to come up.
struct DeedMix {
  let worker: Int
  private var number = 0
  private var events: Int64 = 0
  private var transfers: [Deed] = []
  private var random = SystemRandomNumberGenerator()

  init(worker: Int) { self.worker = worker }

  /// The next deed and its batch.
  mutating func next() -> (Deed, Batch) {
    number += 1
    if number % 12 == 0, let earlier = transfers.suffix(50).randomElement(using: &random) {
      return (
        Deed(worker: worker, number: number, kind: .repeated(earlier.number)), earlier.batch()
      )
    }
    let kind: Deed.Kind = number % 3 == 0 ? append() : .transfer(transfer())
    let deed = Deed(worker: worker, number: number, kind: kind)
    if case .transfer = kind { transfers.append(deed) }
    return (deed, deed.batch())
  }

  private mutating func append() -> Deed.Kind {
    let count = Int64.random(in: 1...4, using: &random)
    defer { events += count }
    return .append(first: events + 1, count: count)
  }

  private mutating func transfer() -> Deed.Transfer {
    let accounts = Int64(Bank.accounts)
    let source = Int64.random(in: 1...accounts, using: &random)
    let step = Int64.random(in: 1..<accounts, using: &random)
    // Now and then more than the whole bank has.
    let amount = number % 16 == 1 ? Bank.total + 1 : Int64.random(in: 1...400, using: &random)
    return Deed.Transfer(
      source: source, target: (source - 1 + step) % accounts + 1, amount: amount)
  }
}
