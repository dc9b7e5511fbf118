import SluiceJournal
import SluiceShared

/// Holds what the processes were told against the history, over all rounds of a store.
///
/// Every batch that was acknowledged is in the history once, with the content that was submitted
/// and the outcome that was told; every other at most as often as it was submitted; each writer's in
/// its order; and what became of each is what the model says.
struct Inspection {
  private(set) var history = History()
  private(set) var model = Model()
  private(set) var violations: [String] = []
  /// The last batch that anybody was told of, or saw.
  private(set) var seen = TxID.zero
  private var deeds: [DeedName: Deed] = [:]
  /// How often each deed was submitted, not counting where `submit` said that it is not there.
  private var submissions: [DeedName: Int] = [:]
  private var executions: [DeedName: Int] = [:]
  private var positions: [BatchID: Int] = [:]
  private var sequences: [WriterID: UInt64] = [:]
  private var rejectedAlready = 0
  private var inspected = 0

  mutating func complain(_ what: String) { violations.append(what) }

  // MARK: what was told

  /// Notes whose deeds may come up in the history.
  mutating func expect(_ account: Account) {
    for testimony in account.testimonies {
      deeds[testimony.deed.name] = testimony.deed
      if case .refused = testimony.answer {
        submissions[testimony.deed.name, default: 0] += 0
      } else {
        submissions[testimony.deed.name, default: 0] += 1
      }
      if let outcome = testimony.outcome { seen = max(seen, outcome.txid) }
    }
    for sight in account.sights { seen = max(seen, sight.txid) }
  }

  /// Compares what a process was told, when all of it is in the history.
  mutating func check(_ account: Account, _ name: String, inOrder: Bool) {
    var last: BatchID?
    for testimony in account.testimonies {
      guard case .durable = testimony.answer, let batch = testimony.batch else { continue }
      guard let position = positions[batch] else {
        complain(
          "LOST: \(testimony.deed.name) was acknowledged as \(batch) and is not in the history")
        continue
      }
      let entry = history.entries[position]
      if Deed.name(of: entry.batch) != testimony.deed.name {
        complain("\(batch) is \(testimony.deed.name), the history has another batch there")
      }
      if let told = testimony.outcome,
        told != ToldOutcome(txid: entry.txid, entry.outcome.outcome)
      {
        complain("\(testimony.deed.name) was told \(told), the history says \(entry)")
      }
      if inOrder, let last, last.writer == batch.writer, last.sequence >= batch.sequence {
        complain("\(name): \(batch) was submitted after \(last)")
      }
      last = batch
    }
    check(account.sights, name)
  }

  private mutating func check(_ sights: [Sight], _ name: String) {
    var last = TxID.zero
    for sight in sights {
      if sight.txid < last { complain("\(name) saw batch \(last), then \(sight.txid)") }
      last = sight.txid
      guard let digest = model.digest(sight.txid) else {
        complain("\(name) saw batch \(sight.txid), the history ends with \(model.last)")
        continue
      }
      if digest != sight.digest {
        complain("\(name) saw as of batch \(sight.txid) \(sight.digest), it has to be \(digest)")
      }
    }
  }

  // MARK: the history

  /// Reads what was published since and executes it on the model. `deaths`: of appliers, since the
  /// last one released.
  mutating func advance(_ log: Log, deaths: Int, _ figures: inout Figures) throws {
    try history.advance(log)
    for (position, entry) in history.entries.enumerated().dropFirst(inspected) {
      take(entry, at: position, deaths, &figures)
    }
    inspected = history.entries.count
    for (name, count) in executions where count > submissions[name, default: 0] {
      complain(
        "\(name) was submitted \(submissions[name, default: 0]) times and executed \(count) times")
    }
    executions = executions.filter { $0.value <= submissions[$0.key, default: 0] }
  }

  private mutating func take(
    _ entry: History.Entry, at position: Int, _ deaths: Int, _ figures: inout Figures
  ) {
    let id = entry.outcome.batch
    if entry.txid.rawValue != UInt64(position + 1) {
      complain("the history has batch \(entry.txid) at place \(position + 1)")
    }
    if positions.updateValue(position, forKey: id) != nil {
      complain("TWICE: \(id) is in the history again, as batch \(entry.txid)")
    }
    let expected = sequences[id.writer, default: 0] + 1
    if id.sequence.rawValue != expected {
      complain("\(id) is in the history as batch \(entry.txid), \(expected) had to be next")
    }
    sequences[id.writer] = id.sequence.rawValue
    if entry.batch == Bank.schema {
      model.begin()
      return
    }
    guard let name = Deed.name(of: entry.batch), let deed = deeds[name],
      deed.batch == entry.batch, deed.key == entry.outcome.key
    else {
      complain("batch \(entry.txid) (\(id)) is none that was submitted")
      model.reject()
      return
    }
    executions[name, default: 0] += 1
    execute(deed, entry, deaths, &figures)
  }

  private mutating func execute(
    _ deed: Deed, _ entry: History.Entry, _ deaths: Int, _ figures: inout Figures
  ) {
    let told = ToldOutcome(txid: entry.txid, entry.outcome.outcome)
    if told.verdict == "rejected \(Outcome.Rejection.Code.poisonous)" {
      // Allowed only where so many processes really died, all with this batch's name in the beacon.
      figures.poisonous += 1
      model.reject()
      let ends = Limits.endsBeforeCare + Limits.endsInCare
      if deaths < ends || entry.outcome.attempts < ends {
        complain(
          "\(deed.name) is rejected as poisonous after \(entry.outcome.attempts) attempts; \(deaths) appliers died"
        )
      }
      return
    }
    let expected = model.execute(deed, at: entry.txid)
    if told.verdict != expected {
      complain("\(deed.name) (batch \(entry.txid)) is \(told.verdict), it had to be \(expected)")
    }
    switch entry.outcome.outcome {
    case .applied: figures.applied += 1
    case .rejected: figures.rejected += 1
    case .duplicate: figures.duplicate += 1
    }
  }

  /// The whole history once more, read from its beginning: it says what it said each time before.
  mutating func readAgain(_ log: Log) throws {
    let again = History()
    try again.advance(log)
    if again.entries != history.entries { complain("the history reads differently now") }
  }
}
