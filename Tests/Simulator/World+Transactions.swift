import SluiceEdits
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceWriter

/// Pages that keep to no rule: each is to be refused.
enum Sabotage: CaseIterable {
  /// The change counter is that of the base.
  case counter
  /// Page 1 says that there is a write-ahead log.
  case firstPage
  /// The schema is one that SQLite cannot read.
  case schema
  /// The schema calls a function that nobody else has.
  case unusable
  /// A table of Sluice's own is another.
  case ownPages
  /// The last part of the pages is missing.
  case parts
}

extension World {
  /// A process whose transactions read, compute and write: SQLite on a snapshot, with a turn or without one.
  func transact(_ life: Life) throws {
    let writer = try Writer(store: World.layout.root, environment: life.environment)
    let client = JournalTransactions(writer)
    let store = try PageStore(path: World.layout.root, environment: life.environment)
    var left: LeftTurn?
    for _ in 0..<(1 + scheduler.random.below(20)) where !life.isGone && !isEnding {
      restWithAll(life)
      do { try transactOnce(client, store, &left, life) } catch let error as StoreError {
        switch error.code {
        case .timeout, .outcomeUnknown, .notSubmitted, .backlogFull:
          note("\(life.name): a transaction ends with \(error)")
        // A verdict came upon the request.
        case .invalid where error.message.hasPrefix("the turn was not granted"):
          note("\(life.name): a transaction ends with \(error)")
        default: throw error
        }
      }
      scheduler.sleep(UInt64(scheduler.random.below(Int(plan.mostPause.inNanoseconds))))
    }
    if scheduler.random.chance(0.5), !life.isGone { writer.closeBlocking() }
  }

  /// A turn that its holder goes away from without a word.
  private struct LeftTurn {
    let turn: Turn
    let asked_ns: UInt64
    let terms: Int

    /// Whether it was out for certain until `now_ns`, where nobody else has led.
    func isOut(_ now_ns: UInt64, _ terms: Int) -> Bool {
      terms == self.terms && now_ns - asked_ns < 1_500_000_000
    }
  }

  private func transactOnce(
    _ client: JournalTransactions, _ store: PageStore, _ left: inout LeftTurn?, _ life: Life
  ) throws {
    let begun_ns = scheduler.now_ns
    let terms = statistics[.terms]
    var turn: Turn?
    var isStated = false
    if scheduler.random.chance(0.75) {
      let patience_ns = UInt64([50, 2000, 8000][scheduler.random.below(3)]) * 1_000_000
      turn = try client.requestTurn { [self] in
        !life.isGone && !isEnding && scheduler.now_ns - begun_ns < patience_ns
      }
      guard let turn, !life.isGone else { return }
      note("\(life.name) has turn \(turn.number)")
      count(.turns)
      isStated = observer.beacons.first { _ in true }?.beacon.status.turn?.number == turn.number
      switch scheduler.random.below(10) {
      case 0: return client.cancel(turn)
      case 1:
        left = LeftTurn(turn: turn, asked_ns: begun_ns, terms: terms)
        return
      case 2: scheduler.sleep(UInt64(1 + scheduler.random.below(4)) * 1_000_000_000)
      case 3: client.extend(turn)
      default: break
      }
    }
    let freshness = turn.map { Freshness.atLeast($0.base, timeout: .seconds(5)) } ?? .latest
    let snapshot = try store.snapshot(freshness)
    // Whoever finds that its turn is over goes on without one.
    if snapshot.txid != turn?.base { turn = nil }
    let named = oracle.interactiveWork(&scheduler.random)
    guard let edited = try edited(snapshot, by: named), !life.isGone else { return }
    note(
      "\(life.name) commits \(named.name) over \(snapshot.txid), turn \(turn?.number.rawValue ?? 0)"
    )
    let lacksPart = if case .interactive(_, _, _, .parts) = named.work { true } else { false }
    let partBytes = scheduler.random.chance(0.3) ? 1 + scheduler.random.below(4096) : nil
    // Each page is one where one is to be missing.
    var pages = try edited.batch(turn: turn?.number, partBytes: lacksPart ? 1 : partBytes)
    if pages.parts != nil { count(.parts) }
    if lacksPart { pages = EditedSnapshot.withoutLastPart(pages) }
    let commitment: Commitment
    do throws(StoreError) {
      commitment = try client.commit(
        pages, of: turn, timeout: .seconds(Int64(1 + scheduler.random.below(8))), key: named.key)
    } catch {
      if error.code == .notSubmitted, !life.isGone { oracle.refuse(named) }
      throw error
    }
    guard !life.isGone else { return }
    note("\(life.name) was told: \(named.name) is \(commitment)")
    oracle.told(commitment, of: named)
    if let before = left, turn == nil, case .committed(let txid) = commitment,
      txid == before.turn.base.next, before.isOut(scheduler.now_ns, statistics[.terms])
    {
      oracle.violate(
        .committedBesideTurn,
        "transaction \(named.name) was committed beside turn \(before.turn.number), which is out")
    }
    guard case .conflict = commitment, let turn, isStated else { return }
    if terms == statistics[.terms], scheduler.now_ns - begun_ns < 1_500_000_000 {
      oracle.violate(
        .refusedInTurn,
        "transaction \(named.name) was refused within its turn \(turn.number), though nobody else led"
      )
    }
  }

  /// What the work makes of a snapshot: what it writes, it computes of what it reads.
  private func edited(_ snapshot: Snapshot, by named: NamedWork) throws -> EditedSnapshot? {
    guard case .interactive(let from, let to, let amount, let sabotage) = named.work else {
      return nil
    }
    let edited = try EditedSnapshot(snapshot, scratch: MemoryFileSystem())
    func balance(_ account: Int) throws -> Int64 {
      guard
        case .integer(let balance)? = try edited.connection.scalar(
          "SELECT balance FROM account WHERE id = \(account)")
      else { throw StoreError(.damaged, "account \(account) is gone") }
      return balance
    }
    let moved = from == to ? 0 : min(amount, try balance(from))
    var sql = """
      UPDATE account SET balance = \(try balance(from) - moved) WHERE id = \(from);
      UPDATE account SET balance = \(try balance(to) + moved) WHERE id = \(to);
      INSERT INTO op(name, noise, second) VALUES (\(named.name), 0, 0);
      """
    switch sabotage {
    case .schema:
      sql += """
        CREATE VIEW IF NOT EXISTS poisoned AS SELECT 1; PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = 'CREATE VIEW poisoned AS SELECT FROM' WHERE name = 'poisoned';
        """
    case .unusable:
      sql += """
        CREATE TRIGGER poisoned AFTER INSERT ON op BEGIN SELECT nosuch(new.name); END;
        """
    case .ownPages: sql += "UPDATE _sluice_state SET rejected = rejected + 1000;"
    case .counter, .firstPage, .parts, nil: break
    }
    try edited.execute(sql)
    try edited.take()
    switch sabotage {
    case .counter:
      edited.restore(1, 24..<28)
      edited.restore(1, 92..<96)
    case .firstPage: edited.change(1) { ($0[18], $0[19]) = (2, 2) }
    case .schema, .unusable, .ownPages, .parts, nil: break
    }
    return edited
  }
}

extension Verification {
  /// False after a violation. A step of an interactive transaction, as the history has it.
  func isStep(_ step: TransactionStep, _ entry: Entry, _ model: inout Model) -> Bool {
    let oracle = world.oracle
    let id = entry.outcome.batch
    guard case .commit(let pages) = step else {
      guard case .applied(let applied) = entry.outcome.outcome, applied.changes == 0 else {
        oracle.violate(.wrongOutcome, "batch \(id), a turn's, is \(entry.outcome.outcome)")
        return false
      }
      if case .requestTurn = step { model.lastTurn = entry.txid }
      return true
    }
    guard let named = entry.batch.flatMap(NamedWork.name).flatMap({ oracle.works[$0] }),
      case .interactive(let from, let to, let amount, let sabotage) = named.work
    else {
      oracle.violate(.neverSubmitted, "batch \(id) has pages that nobody made")
      return false
    }
    if let problem = oracle.contradiction(named, entry) {
      oracle.violate(.toldOtherwise, problem)
      return false
    }
    let isNewest = pages.base.next == entry.txid
    switch entry.outcome.outcome {
    case .rejected(let rejection) where rejection.code == Outcome.Rejection.Code.conflict:
      world.count(.conflicts)
      // Its own writer may have the turn, from a transaction before, and not have given it back.
      let isBesideTurn = model.lastTurn == pages.base && pages.turn != pages.base
      guard isNewest, !isBesideTurn else { return true }
      oracle.violate(.undueConflict, "batch \(id) was refused over the newest state")
      return false
    case .rejected(let rejection):
      world.count(.refusedPages)
      if sabotage == nil {
        oracle.violate(.undueConflict, "batch \(id), a transaction's, is rejected: \(rejection)")
      }
      return sabotage != nil
    case .applied:
      world.count(.transactions)
      guard isNewest else {
        oracle.violate(
          .committedOverOther,
          "batch \(id) of a transaction over \(pages.base) was committed as \(entry.txid)")
        return false
      }
      guard sabotage == nil else {
        oracle.violate(
          .unsoundPagesCommitted,
          "batch \(id) was committed, and should be refused: \(String(describing: sabotage))")
        return false
      }
    case .duplicate:
      oracle.violate(.executedTwice, "batch \(id) of a transaction is in the history twice")
      return false
    }
    model.transact(from: from, to: to, amount: amount, name: named.name)
    return true
  }
}
