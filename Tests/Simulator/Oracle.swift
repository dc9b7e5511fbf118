import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceWriter

/// What was told to anybody in a run, and what must follow from it.
final class Oracle {
  /// What a writer knows of a batch that it submitted.
  enum Told: Equatable {
    case durable
    /// It may be in the journal, or not.
    case unknown
  }

  let scheduler: EventScheduler
  private(set) var works: [Int64: NamedWork] = [:]
  private var lastName: Int64 = 0
  private(set) var told: [BatchID: (named: NamedWork, told: Told)] = [:]
  private(set) var outcomes: [BatchID: AppliedOutcome] = [:]
  /// Batches, and those that were durable before they were submitted to the same `Writer`.
  private(set) var successions: [(batch: BatchID, earlier: BatchID)] = []
  /// Works whose last submit said that they are not in the journal, and that were not tried again.
  private(set) var refused: Set<Int64> = []
  /// What readers were shown, by TxID.
  private(set) var shown: [TxID: String] = [:]
  /// The highest TxID that anybody has seen, and since when.
  private(set) var floors: [(since_ns: UInt64, txid: TxID)] = [(0, .zero)]
  /// The highest TxID that anybody was ever told of: the history must reach it in the end, whatever
  /// was lost meanwhile.
  private(set) var highest = TxID.zero
  /// What became of interactive transactions, as far as their makers were told.
  private var commitments: [Int64: Commitment] = [:]
  private(set) var violation: Violation?
  private(set) var lostPower = false
  /// The highest TxID that was published when the file server lost power: what is said up to it may
  /// have been read before.
  private var lastBeforeLoss = TxID.zero
  /// The highest TxID whose beacon's writing returned to its holder: no loss of power takes it back.
  private var durable = TxID.zero
  private var published: () -> TxID = { .zero }

  init(_ scheduler: EventScheduler) { self.scheduler = scheduler }

  var floor: TxID { floors[floors.count - 1].txid }

  func violate(_ kind: Violation.Kind, _ what: String) { violate(Violation(kind, what)) }

  /// The first one counts.
  func violate(_ found: Violation) {
    guard violation == nil else { return }
    violation = found
    scheduler.finish()
  }

  // MARK: Writers

  /// New work, or keyed work once more, or a key with something else in it.
  func nextWork(_ plan: SimulationPlan, _ random: inout SeededRandom) -> NamedWork {
    let keyed = works.values.filter { $0.key != nil && !$0.isInteractive }.sorted {
      $0.name < $1.name
    }
    if !keyed.isEmpty, random.chance(0.15) {
      let again = keyed[random.below(keyed.count)]
      refused.remove(again.name)
      if random.chance(0.8) { return again }
      return add(work(&random), key: again.key, padding: 0)
    }
    let key = random.chance(0.4) ? "key \(lastName + 1)" : nil
    let padding = plan.mostPadding == 0 ? 0 : random.below(plan.mostPadding)
    return add(work(&random), key: key, padding: padding)
  }

  func interactiveWork(_ random: inout SeededRandom) -> NamedWork {
    let kinds = Sabotage.allCases
    let sabotage = random.chance(0.25) ? kinds[random.below(kinds.count)] : nil
    let work = Work.interactive(
      from: 1 + random.below(NamedWork.accounts), to: 1 + random.below(NamedWork.accounts),
      amount: Int64(1 + random.below(120)), sabotage)
    return add(work, key: "\(NamedWork.interactive)\(lastName + 1)", padding: 0)
  }

  func lethalWork() -> NamedWork { add(.lethal, key: nil, padding: 0) }

  private func add(_ work: Work, key: String?, padding: Int) -> NamedWork {
    lastName += 1
    let named = NamedWork(name: lastName, work: work, key: key, padding: padding)
    works[lastName] = named
    return named
  }

  private func work(_ random: inout SeededRandom) -> Work {
    switch random.below(32) {
    case 0..<8:
      .transfer(
        from: 1 + random.below(NamedWork.accounts), to: 1 + random.below(NamedWork.accounts),
        amount: Int64(1 + random.below(120)))
    case 8..<14: .append
    case 14..<16: .appendTwice
    case 16..<18: .ruin
    case 18: .guarded
    case 19: .makeTable
    case 28: .remakeTable
    case 29: .widenTable
    case 30: .ruinTables
    case 31: .compact(pageSize: [nil, 512, 1024, 4096][random.below(4)])
    case 20, 21: .deferred(isMended: random.chance(0.5))
    case 22: .orphan
    case 23: .shadow
    case 24, 25: .counters
    case 26: .returning
    default: .delete
    }
  }

  /// A submit returned: `batch` is durable, or in doubt.
  func submitted(_ named: NamedWork, as batch: BatchID, _ what: Told) {
    if let known = told[batch], known.named != named {
      violate(
        .namedTwice, "batch \(batch) was given to work \(known.named.name) and to \(named.name)")
    }
    told[batch] = (named, what)
  }

  /// Of which somebody was told that they are durable.
  var acknowledged: [BatchID] {
    told.filter { $0.value.told == .durable }.keys.sorted {
      ($0.writer, $0.sequence) < ($1.writer, $1.sequence)
    }
  }

  func notSubmitted(_ named: NamedWork) {
    if named.key == nil { refused.insert(named.name) }
  }

  // MARK: Interactive transactions

  func told(_ commitment: Commitment, of named: NamedWork) {
    commitments[named.name] = commitment
    if case .committed(let txid) = commitment { saw(txid) }
  }

  /// It is not in the journal, whatever its key.
  func refuse(_ named: NamedWork) { refused.insert(named.name) }

  /// How what was told of a transaction differs from the history.
  func contradiction(_ named: NamedWork, _ entry: Verification.Entry) -> String? {
    let isAsTold =
      switch (commitments[named.name], entry.outcome.outcome) {
      case (nil, _): true
      case (.committed(let txid), .applied): txid == entry.txid
      case (.conflict(let txid), .rejected(let rejection)):
        rejection.code == Outcome.Rejection.Code.conflict && txid == entry.txid
      case (.refused, .rejected): true
      default: false
      }
    return isAsTold
      ? nil
      : "transaction \(named.name) was told to be \(String(describing: commitments[named.name])), the log says \(entry.txid) \(entry.outcome.outcome)"
  }

  /// How the works in the history, by name, differ from what was told; `lacksSome`: some may be missing.
  func problem(with names: Set<Int64>, lacksSome: Bool) -> Violation? {
    for name in refused.sorted() where names.contains(name) {
      return Violation(
        .refusedAndExecuted, "work \(name) was said not to be in the journal, and was executed")
    }
    for name in commitments.keys.sorted() where !names.contains(name) && !lacksSome {
      guard case .committed? = commitments[name] else { continue }
      return Violation(.lost, "transaction \(name) was committed, and is nowhere")
    }
    return nil
  }

  // MARK: Submits

  func follows(_ batch: BatchID, _ earlier: BatchID) { successions.append((batch, earlier)) }

  /// A writer was told what became of its batch.
  func outcome(_ outcome: AppliedOutcome, of batch: BatchID) {
    if let known = outcomes[batch], known != outcome {
      violate(.twoOutcomes, "batch \(batch) has two outcomes: \(known) and \(outcome)")
    }
    outcomes[batch] = outcome
    saw(outcome.txid)
  }

  // MARK: Readers

  /// Somebody knows now that everything up to `txid` is applied.
  ///
  /// A beacon can be read before it is durable; a file server that loses power then, while the holder
  /// dies, forgets it. The commits are durable and the next applier publishes them again, the same;
  /// until then readers are shown less than somebody saw (docs/GUARANTEES.md says so). So what may
  /// be known from before a loss of power counts only as far as it is published.
  func saw(_ txid: TxID) {
    highest = max(highest, txid)
    guard txid > floor else { return }
    if txid > durable, txid <= lastBeforeLoss, published() < txid { return }
    floors.append((scheduler.now_ns, txid))
  }

  /// A holder knows that its beacon is written, so `txid` is published for good.
  func beaconReturned(_ txid: TxID) {
    durable = max(durable, txid)
    saw(txid)
  }

  /// The file server lost power. `before` was published then; `published` tells what is at any time
  /// after.
  func serverLostPower(before: TxID, _ published: @escaping () -> TxID) {
    lostPower = true
    lastBeforeLoss = max(lastBeforeLoss, before)
    self.published = published
    let kept = max(durable, published())
    for i in floors.indices { floors[i].txid = min(floors[i].txid, kept) }
  }

  /// A time, as what had been seen by then: how much that is a later loss of power may change.
  struct Moment {
    fileprivate var floor: Int
  }

  var now: Moment { Moment(floor: floors.count - 1) }

  func moment(at time_ns: UInt64) -> Moment {
    Moment(floor: floors.lastIndex { $0.since_ns <= time_ns } ?? 0)
  }

  /// Since when somebody has known that more than `txid` is published; nil: nobody does.
  func since(beyond txid: TxID) -> UInt64? { floors.first { $0.txid > txid }?.since_ns }

  /// A reader's transaction at `txid` showed this; it must show what anybody had seen at `moment`,
  /// and at least `least`.
  func read(
    _ text: String, at txid: TxID, since moment: Moment, least: TxID = .zero, by reader: String
  ) {
    let floor = floors[moment.floor].txid
    if txid < floor {
      violate(.staleRead, "\(reader) was shown \(txid), but \(floor) had been seen before")
    }
    if txid < least {
      violate(
        .lessThanAsked, "\(reader) was shown \(txid), and may not be shown less than \(least)")
    }
    if let known = shown[txid], known != text {
      violate(.twoContents, "two readers saw different content as of \(txid)")
    }
    shown[txid] = text
    let balances = text.prefix { $0 != "|" }.split(separator: ",").compactMap { Int64($0) }
    if balances.reduce(0, +) != NamedWork.balance * Int64(NamedWork.accounts) {
      violate(.moneyMoved, "\(reader) saw \(balances) as of \(txid): money came or went")
    }
    saw(txid)
  }
}
