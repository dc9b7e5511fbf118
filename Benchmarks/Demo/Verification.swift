import SluiceJournal
import SluiceShared

/// Holds what the workers were told against what is in the store, by a model of the bank that knows
/// no SQL: each batch exactly once, with the outcome that it had to have at its place in the order.
struct Verification {
  let testimonies: [Testimony]
  let evidence: Evidence
  /// Batches that no worker submitted: the tables and the accounts.
  let setup: Set<BatchID>
  private(set) var violations: [String] = []
  private(set) var counts = Counts()

  struct Counts {
    var sent = 0
    var applied = 0
    var rejected = 0
    var duplicate = 0
  }

  init(_ testimonies: [Testimony], _ evidence: Evidence, setup: Set<BatchID>) {
    self.testimonies = testimonies
    self.evidence = evidence
    self.setup = setup
    checkAnswers()
    checkLog()
    replay()
    checkNothingElse()
    if evidence.integrity != ["text(\"ok\")"] {
      violations.append("integrity_check of the checkpoint: \(evidence.integrity)")
    }
  }

  /// At most so many are named; their number is what counts.
  static let mostNamed = 20

  // MARK: what the workers were told

  /// Batches were acknowledged, and each of those got an outcome.
  private mutating func checkAnswers() {
    var numbers: Set<Evidence.Place> = []
    for testimony in testimonies {
      counts.sent += 1
      switch testimony.answer {
      case .applied: counts.applied += 1
      case .rejected: counts.rejected += 1
      case .duplicate: counts.duplicate += 1
      case .noOutcome(let why): violations.append("\(testimony.name) got no outcome: \(why)")
      case .notSubmitted(let why): violations.append("\(testimony.name) was not taken: \(why)")
      case .unknown(let why): violations.append("\(testimony.name) may be there or not: \(why)")
      }
      if !numbers.insert(testimony.place).inserted {
        violations.append("two batches are called \(testimony.name)")
      }
    }
    for (outcome, count) in [
      ("applied", counts.applied), ("rejected", counts.rejected), ("duplicate", counts.duplicate),
    ] where count == 0 {
      violations.append("no batch was \(outcome): this run proves nothing of those")
    }
  }

  // MARK: the log

  /// Each batch is in the log once, at the place and with the outcome that its worker was told.
  private mutating func checkLog() {
    for testimony in testimonies {
      guard let batch = testimony.batch else { continue }
      let executions = evidence.executions[batch] ?? []
      switch testimony.answer {
      case .notSubmitted where executions.isEmpty: continue
      case .unknown where executions.count <= 1: continue
      default: break
      }
      guard executions.count == 1, let execution = executions.first else {
        violations.append("\(testimony.name) is in the log \(executions.count) times")
        continue
      }
      guard testimony.answer.agrees(with: execution) else {
        violations.append(
          "\(testimony.name) was told \(testimony.answer), the log says \(execution)")
        continue
      }
    }
    let known = Set(testimonies.compactMap(\.batch)).union(setup)
    for (batch, executions) in evidence.executions where !known.contains(batch) {
      violations.append("the log has batch \(batch), which nobody submitted: \(executions)")
    }
    let places = evidence.executions.values.flatMap { $0.map(\.txid.rawValue) }.sorted()
    if places != Array(1...max(1, evidence.lastTxID.rawValue)) {
      violations.append("the log's batches are not numbered 1 to \(evidence.lastTxID) without gaps")
    }
  }

  // MARK: the database

  /// Executes the batches on a model, in the log's order.
  private mutating func replay() {
    var model = Model()
    let ordered = testimonies.compactMap { testimony in
      testimony.answer.txid.map { (txid: $0, testimony: testimony) }
    }.sorted { $0.txid < $1.txid }
    for (txid, testimony) in ordered {
      let expected = model.execute(testimony.deed, txid)
      if !testimony.answer.agrees(with: expected) {
        violations.append(
          "\(testimony.name) was told \(testimony.answer), it had to be \(expected)")
      }
      let isRecorded = testimony.batch.map { evidence.rejections[$0] ?? 0 } ?? 0
      if isRecorded != (expected == .rejected ? 1 : 0) {
        violations.append("\(testimony.name) is recorded as rejected \(isRecorded) times")
      }
    }
    compare(model)
  }

  private mutating func compare(_ model: Model) {
    for (place, transfer) in model.transfers where evidence.transfers[place] != [transfer] {
      violations.append(
        "the transfer of batch \(place) is in the database \(evidence.transfers[place]?.count ?? 0) times"
      )
    }
    for place in model.events where evidence.events[place] != 1 {
      violations.append("event \(place) is in the database \(evidence.events[place] ?? 0) times")
    }
    for place in evidence.transfers.keys where model.transfers[place] == nil {
      violations.append("the database has a transfer of batch \(place) that was not applied")
    }
    for place in evidence.events.keys where !model.events.contains(place) {
      violations.append("the database has event \(place), which was not applied")
    }
    if evidence.balances != model.balances {
      violations.append("the balances are not what the transfers come to")
    }
    let total = evidence.balances.values.reduce(0, +)
    if total != Bank.total {
      violations.append("all accounts together have \(total), not \(Bank.total)")
    }
  }

  private mutating func checkNothingElse() {
    let known = Set(testimonies.compactMap(\.batch))
    for batch in evidence.rejections.keys where !known.contains(batch) {
      violations.append("\(batch) is recorded as rejected, and nobody submitted it")
    }
  }
}

/// The bank as it should be.
private struct Model {
  enum Expected: Equatable {
    case applied
    case rejected
    case duplicate(of: TxID)
  }

  private(set) var balances: [Int64: Int64]
  private(set) var transfers: [Evidence.Place: Deed.Transfer] = [:]
  private(set) var events: Set<Evidence.Place> = []
  private var keys: [Evidence.Place: TxID] = [:]

  init() {
    balances = Dictionary(
      uniqueKeysWithValues: (1...Int64(Bank.accounts)).map { ($0, Bank.balance) })
  }

  mutating func execute(_ deed: Deed, _ txid: TxID) -> Expected {
    let worker = Int64(deed.worker)
    let place = Evidence.Place(worker: worker, number: Int64(deed.number))
    switch deed.kind {
    case .append(let first, let count):
      for event in first..<first + count {
        events.insert(Evidence.Place(worker: worker, number: event))
      }
      return .applied
    case .transfer(let transfer):
      keys[place] = txid
      guard balances[transfer.source, default: 0] >= transfer.amount else { return .rejected }
      balances[transfer.source, default: 0] -= transfer.amount
      balances[transfer.target, default: 0] += transfer.amount
      transfers[place] = transfer
      return .applied
    case .repeated(let number):
      let first = keys[Evidence.Place(worker: worker, number: Int64(number))]
      // A batch that comes before the one that it repeats would be out of its writer's order.
      return .duplicate(of: first ?? .zero)
    }
  }
}

extension Testimony {
  fileprivate var name: String {
    "worker \(deed.worker) batch \(deed.number)" + (batch.map { " (\($0))" } ?? "")
  }

  fileprivate var place: Evidence.Place {
    Evidence.Place(worker: Int64(deed.worker), number: Int64(deed.number))
  }
}

extension Testimony.Answer {
  fileprivate var txid: TxID? {
    switch self {
    case .applied(let txid), .rejected(let txid, _), .duplicate(let txid, _): txid
    case .noOutcome, .notSubmitted, .unknown: nil
    }
  }

  fileprivate func agrees(with execution: Evidence.Execution) -> Bool {
    guard txid == execution.txid else { return false }
    return switch (self, execution.outcome) {
    case (.applied, .applied): true
    case (.rejected(_, let code), .rejected(let rejection)): code == rejection.code
    case (.duplicate(_, let told), .duplicate(let original, _)): told == original
    default: false
    }
  }

  fileprivate func agrees(with expected: Model.Expected) -> Bool {
    switch (self, expected) {
    case (.applied, .applied): true
    case (.rejected(_, let code), .rejected): code == Outcome.Rejection.Code.guardFailed
    case (.duplicate(_, let told), .duplicate(let original)): told == original
    default: false
    }
  }
}
