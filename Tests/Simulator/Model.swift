import SluiceJournal
import SluiceShared

/// What the database must hold after each batch, computed from the history that the log records and
/// from nothing else: a second, simple implementation of everything that the workload uses.
struct Model {
  /// The newest batch that asked for the turn.
  var lastTurn = TxID.zero
  private var balances = [Int64](repeating: NamedWork.balance, count: NamedWork.accounts)
  private var rows: [(place: Int64, text: String)] = [(1, "0:0:0")]
  private var children: [Int64] = []
  private var tables: [String] = []
  /// The statement that makes the table `again` as it is; empty: there is none.
  private var again = ""
  private var keys: [String: Use] = [:]

  private static let keyHorizon_ms: Int64 = 24 * 3600 * 1000

  private struct Use {
    var work: NamedWork
    var txid: TxID
    var time_ms: Int64
    var outcome: Expected
  }

  /// What must become of a batch; of a rejection the code, for its message is for people.
  enum Expected: Equatable {
    case applied(Outcome.Applied)
    case rejected(String)
    indirect case duplicate(of: TxID, original: Expected)

    init(_ outcome: Outcome) {
      switch outcome {
      case .applied(let applied): self = .applied(applied)
      case .rejected(let rejection): self = .rejected(rejection.code)
      case .duplicate(let txid, let original):
        self = .duplicate(of: txid, original: Expected(original))
      }
    }
  }

  /// What a reader is to see: the same text as `Shown.query` makes.
  var shown: String {
    "\(balances.map(String.init).joined(separator: ","))|\(rows.map(\.text).joined(separator: " "))|\(tables.sorted().joined(separator: ","))|\(again)|\(children.sorted().map(String.init).joined(separator: ","))"
  }

  /// Executes `named` as batch `txid` of a commit; returns what must become of it.
  /// `rejectedWith`: what it was rejected with unexecuted.
  mutating func execute(
    _ named: NamedWork, _ txid: TxID, _ meta: CommitMeta, rejectedWith verdict: String? = nil
  ) -> Expected {
    if let key = named.key, let use = keys[key], meta.time_ms - use.time_ms <= Model.keyHorizon_ms {
      return use.work == named
        ? .duplicate(of: use.txid, original: use.outcome)
        : .rejected(Outcome.Rejection.Code.keyReused)
    }
    let outcome = verdict.map { .rejected($0) } ?? perform(named, txid, meta)
    if let key = named.key {
      keys[key] = Use(work: named, txid: txid, time_ms: meta.time_ms, outcome: outcome)
    }
    return outcome
  }

  private mutating func perform(_ named: NamedWork, _ txid: TxID, _ meta: CommitMeta) -> Expected {
    var noise = Noise(meta.entropy, txid)
    let place = lastPlace + 1
    var applied = Outcome.Applied(changes: 1, lastRowID: place, rows: nil)
    switch named.work {
    case .append: append(named, &noise, meta)
    case .appendTwice:
      append(named, &noise, meta)
      append(named, &noise, meta)
      applied.changes = 2
      applied.lastRowID = place + 1
    case .transfer(let from, let to, let amount):
      guard from == to || balances[from - 1] >= amount else {
        return .rejected("SQLITE_CONSTRAINT_CHECK")
      }
      balances[to - 1] += amount
      balances[from - 1] -= amount
      append(named, &noise, meta)
      applied.changes = 3
    case .ruin, .ruinTables: return .rejected("SQLITE_CONSTRAINT_PRIMARYKEY")
    case .guarded:
      guard rows.count % 2 == 0 else { return .rejected(Outcome.Rejection.Code.guardFailed) }
      append(named, &noise, meta)
    case .makeTable:
      // Twice only where its key was forgotten, as below.
      guard !tables.contains("made\(named.name)") else { return .rejected("SQLITE_ERROR") }
      tables.append("made\(named.name)")
      append(named, &noise, meta)
    case .remakeTable:
      again = "CREATE TABLE again(x)"
      append(named, &noise, meta)
      applied.changes = 2
      applied.lastRowID = 1
    case .widenTable:
      guard widen(by: named) else { return .rejected("SQLITE_ERROR") }
      append(named, &noise, meta)
    case .deferred(let isMended):
      if children.contains(named.name) { return .rejected("SQLITE_CONSTRAINT_PRIMARYKEY") }
      guard isMended else { return .rejected(Outcome.Rejection.Code.foreignKey) }
      append(named, &noise, meta)
      children.append(named.name)
      applied.changes = 3
      applied.lastRowID = named.name
    case .compact: applied = Outcome.Applied(changes: 0, lastRowID: 0, rows: nil)
    case .shadow: return .rejected(Outcome.Rejection.Code.denied)
    case .orphan: return .rejected("SQLITE_CONSTRAINT_FOREIGNKEY")
    case .counters:
      append(named, &noise, meta)
      rows.append((place + 1, "\(named.name):1:\(place)"))
      applied.changes = 2
      applied.lastRowID = place + 1
    case .returning:
      append(named, &noise, meta)
      applied.rows = [[.integer(Int64(rows.count)), .integer(place), .text("x")]]
    case .delete:
      append(named, &noise, meta)
      let before = rows.count
      rows.removeAll { $0.place > 1 && $0.place % 2 == 0 }
      applied.changes += Int64(before - rows.count)
    case .lethal, .interactive: return .rejected(Outcome.Rejection.Code.poisonous)
    }
    return .applied(applied)
  }

  /// What an interactive transaction comes to that was committed over the state that this is.
  mutating func transact(from: Int, to: Int, amount: Int64, name: Int64) {
    let moved = min(amount, balances[from - 1])
    balances[from - 1] -= moved
    balances[to - 1] += moved
    rows.append((lastPlace + 1, "\(name):0:0"))
  }

  /// False where the table `again` is not there, or has the column.
  private mutating func widen(by named: NamedWork) -> Bool {
    guard !again.isEmpty, !again.contains(" c\(named.name) ") else { return false }
    again = again.dropLast() + ", c\(named.name) DEFAULT \(named.name))"
    return true
  }

  private var lastPlace: Int64 { rows[rows.count - 1].place }

  private mutating func append(_ named: NamedWork, _ noise: inout Noise, _ meta: CommitMeta) {
    rows.append(
      (lastPlace + 1, "\(named.name):\(noise.next()):\(meta.time_ms / 1000)"))
  }
}

/// The batch's random numbers, as docs/FORMAT.md says they follow from the record.
private struct Noise {
  private var state: UInt64

  init(_ entropy: Identifier128, _ txid: TxID) {
    state = entropy.high ^ (entropy.low &* 0x9E37_79B9_7F4A_7C15) ^ txid.rawValue
    _ = next()
  }

  mutating func next() -> Int64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return Int64(bitPattern: z ^ (z >> 31))
  }
}

/// How a reader asks for all that the workload writes.
enum Shown {
  static let query = """
    SELECT (SELECT group_concat(balance) FROM (SELECT balance FROM account ORDER BY id)) || '|' ||
      (SELECT group_concat(name || ':' || noise || ':' || second, ' ')
       FROM (SELECT name, noise, second FROM op ORDER BY place)) || '|' ||
      ifnull((SELECT group_concat(name)
       FROM (SELECT name FROM sqlite_schema WHERE name GLOB 'made*' ORDER BY name)), '') || '|' ||
      ifnull((SELECT sql FROM sqlite_schema WHERE name = 'again'), '') || '|' ||
      ifnull((SELECT group_concat(id) FROM (SELECT id FROM child ORDER BY id)), '')
    """
}
