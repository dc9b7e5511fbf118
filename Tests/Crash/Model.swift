import SluiceShared

/// The bank as it should be after each batch of the history, by rules that know no SQL.
struct Model {
  struct Transfer: Hashable {
    var name: DeedName
    var source: Int64
    var target: Int64
    var amount: Int64
  }
  struct Event: Hashable {
    var name: DeedName
    var event: Int64
    var fillerBytes: Int64
  }

  private(set) var balances: [Int64] = Array(repeating: Bank.balance, count: Bank.accounts)
  /// In the order in which they were made.
  private(set) var transfers: [Transfer] = []
  private(set) var events: [Event] = []
  private(set) var rejected: Int64 = 0
  /// Who used a key first, and where.
  private var keys: [String: (name: DeedName, txid: TxID)] = [:]
  /// As of each TxID; the first is of the empty bank.
  private(set) var digests: [Digest] = []

  var last: TxID { TxID(UInt64(max(0, digests.count - 1))) }

  init() { digests = [Digest()] }

  func digest(_ txid: TxID) -> Digest? {
    txid.rawValue < UInt64(digests.count) ? digests[Int(txid.rawValue)] : nil
  }

  /// The batch that made the tables.
  mutating func begin() { digests.append(digests[0]) }

  /// Executes a deed at the next place of the order; what had to become of it.
  mutating func execute(_ deed: Deed, at txid: TxID) -> String {
    let verdict = verdict(deed, txid)
    if verdict.hasPrefix("rejected") { rejected += 1 }
    note()
    return verdict
  }

  /// A batch that was refused for what its surroundings did.
  mutating func reject() {
    rejected += 1
    note()
  }

  private mutating func verdict(_ deed: Deed, _ txid: TxID) -> String {
    if let key = deed.key {
      if let first = keys[key] {
        return first.name == deed.name ? "duplicate \(first.txid)" : "rejected keyReused"
      }
      keys[key] = (deed.name, txid)
    }
    switch deed.kind {
    case .taken: return "rejected SQLITE_CONSTRAINT_PRIMARYKEY"
    case .append(let count, let filler):
      let bytes = Int64((filler + 15) / 16 * 16)
      for event in 0..<count {
        events.append(Event(name: deed.name, event: Int64(event), fillerBytes: bytes))
      }
      return "applied"
    case .transfer(let source, let target, let amount, _):
      guard balances[Int(source) - 1] >= amount else { return "rejected guardFailed" }
      balances[Int(source) - 1] -= amount
      balances[Int(target) - 1] += amount
      transfers.append(
        Transfer(name: deed.name, source: source, target: target, amount: amount))
      return "applied"
    }
  }

  private mutating func note() {
    var digest = Digest()
    digest.total = balances.reduce(0, +)
    digest.weighted = zip(1..., balances).reduce(0) { $0 + $1.0 * $1.1 }
    digest.transfers = Int64(transfers.count)
    digest.events = Int64(events.count)
    digests.append(digest)
  }
}
