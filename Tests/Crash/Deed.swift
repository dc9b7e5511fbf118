import SluiceFakes
import SluiceJournal
import SluiceShared

/// What the workers write: a bank whose money only moves, and events that only grow. No table has a
/// key that would refuse a batch done twice: it must show.
enum Bank {
  static let accounts = 16
  static let balance: Int64 = 1000
  static var total: Int64 { Int64(accounts) * balance }

  static let schema = Batch([
    Batch.Statement("CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)"),
    Batch.Statement("CREATE TABLE transfers(worker, number, source, target, amount)"),
    Batch.Statement("CREATE TABLE events(worker, number, event, filler)"),
    Batch.Statement("CREATE INDEX events_by_worker ON events(worker, event)"),
    Batch.Statement("CREATE TABLE names(name TEXT PRIMARY KEY, worker, number)"),
    Batch.Statement("INSERT INTO names VALUES ('taken', 0, 0)"),
    Batch.Statement(
      "INSERT INTO accounts VALUES (?, ?)",
      rows: (1...accounts).map { [.integer(Int64($0)), .integer(balance)] }),
  ])
}

/// A worker's batch, as it means it. What it does says who did it: `worker` and `number` are the
/// first two parameters of the batch's last statement.
struct Deed: Hashable, Sendable {
  enum Kind: Hashable, Sendable {
    /// Refused by its guard where the source has too little. Its key is of the worker's batch
    /// `keyOf`: its own, or one that is taken already.
    case transfer(source: Int64, target: Int64, amount: Int64, keyOf: Int)
    /// So many events, each with a text of `filler` bytes that does not shrink. No key.
    case append(count: Int, filler: Int)
    /// A name that is taken; `rollback`: in a way that ends SQLite's whole transaction.
    case taken(rollback: Bool)
  }

  var worker: Int
  /// Counts the worker's batches, from 1.
  var number: Int
  var kind: Kind

  var key: String? {
    if case .transfer(_, _, _, let keyOf) = kind { "worker \(worker) batch \(keyOf)" } else { nil }
  }

  var batch: Batch {
    let name: [SQLValue] = [.integer(Int64(worker)), .integer(Int64(number))]
    switch kind {
    case .transfer(let source, let target, let amount, _):
      let parameters: [SQLValue] = [.integer(source), .integer(target), .integer(amount)]
      return Batch(
        [
          Batch.Statement(
            "UPDATE accounts SET balance = balance - ? WHERE id = ?",
            [.integer(amount), .integer(source)]),
          Batch.Statement(
            "UPDATE accounts SET balance = balance + ? WHERE id = ?",
            [.integer(amount), .integer(target)]),
          Batch.Statement("INSERT INTO transfers VALUES (?, ?, ?, ?, ?)", name + parameters),
        ],
        key: key,
        guards: [
          Batch.Statement(
            "SELECT balance >= ? FROM accounts WHERE id = ?", [.integer(amount), .integer(source)])
        ])
    case .append(let count, let filler):
      var random = SeededRandom(seed: UInt64(worker) << 32 | UInt64(number))
      let rows = (0..<count).map { event in
        var text = ""
        while text.utf8.count < filler { text += hexadecimal(random.next(), width: 16) }
        return name + [.integer(Int64(event)), .text(text)]
      }
      return Batch([Batch.Statement("INSERT INTO events VALUES (?, ?, ?, ?)", rows: rows)])
    case .taken(let rollback):
      return Batch([
        Batch.Statement(
          "INSERT \(rollback ? "OR ROLLBACK " : "")INTO names(worker, number, name) VALUES (?, ?, 'taken')",
          name)
      ])
    }
  }

  /// Whose deed a batch is, by what it does.
  static func name(of batch: Batch) -> DeedName? {
    guard let row = batch.statements.last?.rows.first, row.count >= 2,
      case .integer(let worker) = row[0], case .integer(let number) = row[1]
    else { return nil }
    return DeedName(worker: Int(worker), number: Int(number))
  }

  var name: DeedName { DeedName(worker: worker, number: number) }
}

struct DeedName: Hashable, Sendable, CustomStringConvertible {
  var worker: Int
  var number: Int
  var description: String { "worker \(worker) batch \(number)" }
}

// MARK: as text

extension Deed {
  /// `number kind values`, for the worker's notes.
  var line: String {
    switch kind {
    case .transfer(let source, let target, let amount, let keyOf):
      "\(number) transfer \(source) \(target) \(amount) \(keyOf)"
    case .append(let count, let filler): "\(number) append \(count) \(filler)"
    case .taken(let rollback): "\(number) taken \(rollback ? 1 : 0)"
    }
  }

  init?(worker: Int, _ words: ArraySlice<Substring>) {
    let values = words.dropFirst(2).compactMap { Int64($0) }
    guard words.count >= 3, values.count == words.count - 2,
      let number = words.first.flatMap({ Int($0) })
    else { return nil }
    switch (words[words.startIndex + 1], values.count) {
    case ("transfer", 4):
      kind = .transfer(
        source: values[0], target: values[1], amount: values[2], keyOf: Int(values[3]))
    case ("append", 2): kind = .append(count: Int(values[0]), filler: Int(values[1]))
    case ("taken", 1): kind = .taken(rollback: values[0] == 1)
    default: return nil
    }
    self.worker = worker
    self.number = number
  }
}

/// What a worker does next: a mix in which every outcome comes up.
struct DeedMix {
  let worker: Int
  private var number = 0
  private var transfers: [Deed] = []
  private var random: SeededRandom

  init(worker: Int, seed: UInt64) {
    self.worker = worker
    random = SeededRandom(seed: seed)
  }

  /// The next deed; now and then an earlier one once more.
  mutating func next() -> Deed {
    if random.below(10) == 0, let earlier = transfers.randomElement(using: &random) {
      return earlier
    }
    number += 1
    let deed = Deed(worker: worker, number: number, kind: kind())
    if case .transfer = deed.kind { transfers.append(deed) }
    return deed
  }

  private mutating func kind() -> Deed.Kind {
    switch random.below(20) {
    case 0: return .taken(rollback: false)
    case 1: return .taken(rollback: true)
    case 2: return .append(count: 2, filler: 500 + random.below(12_000))
    case 3...7: return .append(count: 1 + random.below(3), filler: random.below(60))
    default:
      let source = random.below(Bank.accounts)
      let target = (source + 1 + random.below(Bank.accounts - 1)) % Bank.accounts
      // Now and then more than the whole bank has, and under a key that was used.
      let amount = random.below(12) == 0 ? Bank.total + 1 : Int64(1 + random.below(400))
      let keyOf = random.below(15) == 0 ? transfers.randomElement(using: &random)?.number : nil
      return .transfer(
        source: Int64(source + 1), target: Int64(target + 1), amount: amount,
        keyOf: keyOf ?? number)
    }
  }
}
