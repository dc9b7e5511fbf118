import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared

extension World {
  /// A reader process, its mount read-only: reads as fresh as it likes, and looks at
  /// `current.sqlite`.
  func reader(_ life: Life) throws {
    var begun_ns: UInt64 = 0
    var missed_ns = life.machine.clock.missed_ns
    let store = try PageStore(path: World.layout.root, environment: life.environment)
    let reader = Opened(Database(store, executor: life.environment.executor))
    for _ in 0..<(1 + scheduler.random.below(30)) where !life.isGone && !isEnding {
      switch scheduler.random.below(11) {
      case 0..<6:
        begun_ns = life.environment.clock.bootTime_ns()
        missed_ns = life.machine.clock.missed_ns
        try read(.latest, since: oracle.now, reader, life)
      case 6..<8:
        try readStale(
          since: begun_ns, missed_ns: life.machine.clock.missed_ns - missed_ns, reader, life)
      case 8: try readAtLeast(reader, life)
      case 9: try readPast(reader, life)
      default: try lookAtCurrent(life)
      }
      scheduler.sleep(UInt64(scheduler.random.below(allRest ? 3_000_000_000 : 100_000_000)))
    }
  }

  /// What one reader reads through, and how far it was shown the history: never less later, however
  /// stale it may be.
  final class Opened {
    let database: Database
    fileprivate var last = TxID.zero

    init(_ database: Database) { self.database = database }
  }

  func read(
    _ freshness: Freshness, since moment: Oracle.Moment, least: TxID = .zero, _ reader: Opened,
    _ life: Life
  ) throws {
    for attempt in 1... {
      do {
        return try readOnce(freshness, since: moment, least: least, reader, life)
      } catch let error as StoreError {
        // Its files went while it was read: a new transaction begins with newer ones.
        guard error.code == .snapshotExpired, plan.retention != nil, attempt < 4 else {
          throw error
        }
        note("\(life.name): \(error)")
        count(.expired)
      }
    }
  }

  private func readOnce(
    _ freshness: Freshness, since moment: Oracle.Moment, least: TxID, _ reader: Opened,
    _ life: Life
  ) throws {
    let lasts = scheduler.random.chance(0.2)
    let pause = UInt64(scheduler.random.below(3_000_000_000))
    try reader.database.read(freshness) { transaction in
      let text = try shown(transaction)
      guard !life.isGone else { return }
      note("\(life.name) was shown \(transaction.txid)")
      oracle.read(
        text, at: transaction.txid, since: moment, least: max(least, reader.last), by: life.name)
      reader.last = transaction.txid
      count(.reads)
      guard lasts else { return }
      // A transaction shows the same for as long as it lasts.
      scheduler.sleep(pause)
      let again = try shown(transaction)
      if !life.isGone, again != text {
        oracle.violate(
          .unstableTransaction, "\(life.name) was shown two contents in one transaction")
      }
    }
  }

  func shown(_ transaction: ReadTransaction) throws -> String {
    guard case .text(let text) = try transaction.scalar(Shown.query) else { return "" }
    return text
  }

  /// Within its bound it costs no file operation, and beyond it is as fresh as it says. `missed_ns`: for
  /// how long its clocks stood still since the last read of the present.
  private func readStale(
    since begun_ns: UInt64, missed_ns: UInt64, _ reader: Opened, _ life: Life
  ) throws {
    let limit = Duration.milliseconds([0, 50, 1000, 10000][scheduler.random.below(4)])
    let age = Duration.nanoseconds(
      Int64(
        life.environment.clock.bootTime_ns() - min(begun_ns, life.environment.clock.bootTime_ns())))
    // Clocks differ by some hundred parts per million; who was suspended is staler than it knows.
    let bound_ns =
      limit.inNanoseconds + limit.inNanoseconds / 1000 + 1000 + missed_ns
    let moment = oracle.moment(at: scheduler.now_ns - min(bound_ns, scheduler.now_ns))
    let before = life.process.operations
    if begun_ns != 0, age <= limit {
      _ = try reader.database.store.snapshot(.maxStaleness(limit))
      if life.process.operations != before {
        oracle.violate(
          .readWithinBound, "\(life.name) read files although it accepts what is \(limit) old")
      }
    }
    try read(.maxStaleness(limit), since: moment, reader, life)
  }

  /// Beyond what anybody has seen it may not come in time.
  private func readAtLeast(_ reader: Opened, _ life: Life) throws {
    let wanted = TxID(oracle.floor.rawValue + UInt64(scheduler.random.below(3)))
    do {
      try readAtLeast(wanted, atMost: .seconds(1), reader, life)
    } catch let error as StoreError {
      guard error.code != .timeout else { return }
      throw error
    }
  }

  func readAtLeast(_ wanted: TxID, atMost limit: Duration, _ reader: Opened, _ life: Life) throws {
    try read(
      .atLeast(wanted, timeout: limit), since: oracle.moment(at: 0), least: wanted, reader, life)
    if !life.isGone { count(.tokens) }
  }

  /// What was published once is shown again, and is what it was.
  private func readPast(_ reader: Opened, _ life: Life) throws {
    guard oracle.floor > .zero else { return }
    // Old states more often than young ones: they may be gone.
    let last = Int(oracle.floor.rawValue)
    let range = scheduler.random.chance(0.5) ? last / 4 + 1 : last
    let wanted = TxID(1 + UInt64(scheduler.random.below(range)))
    let kept = observer.oldestState
    do {
      try reader.database.read(.asOf(.txid(wanted))) { transaction in
        let text = try shown(transaction)
        guard !life.isGone else { return }
        note("\(life.name) was shown \(transaction.txid) as of \(wanted)")
        oracle.read(text, at: transaction.txid, since: oracle.moment(at: 0), by: life.name)
        // It looks before an operation, and so may know less than was just read.
        if let what = observer.look() { oracle.violate(what) }
        let last = observer.commits.last { $0.last <= wanted }?.last ?? .zero
        if transaction.txid != last {
          oracle.violate(
            .wrongPast,
            "\(life.name) was shown \(transaction.txid), which is not what was there as of \(wanted)"
          )
        }
        count(.pastReads)
      }
    } catch let error as StoreError {
      guard error.code == .snapshotExpired else { throw error }
      note("\(life.name) as of \(wanted): \(error)")
      guard !life.isGone, !life.machine.hasLostOpens else { return }
      count(.expired)
      // It may have gone meanwhile.
      if let kept, let left = observer.oldestState, max(kept, left) <= wanted, !oracle.lostPower {
        oracle.violate(
          .undueExpiry,
          "\(life.name) was told that batch \(wanted) is not kept, and all from \(left) on is")
      }
    }
  }

  /// What any SQLite tool would open.
  private func lookAtCurrent(_ life: Life) throws {
    let target: String
    do throws(StoreError) {
      target = try life.environment.fileSystem.readSymbolicLink(World.layout.current)
    } catch {
      guard error.errno != ProcessFaults.missing else { return }
      throw error
    }
    guard !life.isGone else { return }
    note("\(life.name) was shown current.sqlite -> \(target)")
    guard let txid = StoreLayout.checkpointTxID(String(target.dropFirst("checkpoints/".count)))
    else {
      return oracle.violate(.currentLeadsNowhere, "current.sqlite points to \(target)")
    }
    if disk.inode(of: "\(World.layout.root)/\(target)") == nil, !wasRemoved(target) {
      oracle.violate(.currentLeadsNowhere, "current.sqlite points to \(target), which is not there")
    }
    oracle.saw(txid)
  }
}
