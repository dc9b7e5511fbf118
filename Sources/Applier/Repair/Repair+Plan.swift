internal import SluiceJournal
internal import SluiceReader
public import SluiceShared

extension Repair {
  /// Finds out what is wrong and what can be done; reads only, all that a store consists of, and may execute
  /// its last batches again in `TMPDIR`. Throws `.damaged` where no state can be had of what is left.
  public func plan(
    onProgress: @escaping (_ done: Int64, _ total: Int64) -> Void = { _, _ in }
  ) throws(StoreError) -> Plan {
    var plan = Plan()
    var damages: [Verification.Damage] = []
    let summary = try Verification(
      store: layout.root, environment, onDamage: { damages.append($0) }, onProgress: onProgress
    ).run()
    plan.damages = damages
    guard !damages.isEmpty else { return plan }
    let described = try DescribedStore(layout, given, environment)
    plan.description = described.description
    plan.withheldRight = described.withheldRight
    if described.mustBeWritten { plan.steps.append(.description(described.description.json)) }
    for one in layout.directories where damages.contains(where: { $0.path == one.path }) {
      if try !one.isThere(environment.fileSystem) { plan.steps.append(.directory(one.path)) }
    }
    plan.segments = Set(try numbers(layout.log) + numbers(layout.oldLog))
    let store = StoreHandle(
      layout: layout, id: described.description.id, environment: environment)
    let salvage = try Salvage(of: store)
    plan.salvage = salvage
    plan.state = try salvage.state()
    plan.losesUnknown = try newestIsLost(store, salvage)
    try replay(&plan, salvage, summary)
    guard let state = plan.state else {
      throw StoreError(
        .damaged,
        "no checkpoint is whole, or makes a whole database with the log: restore the store from a backup; `sluice replay --log` may make one of a copy of the log",
        path: layout.checkpoints)
    }
    // With a checkpoint that is later than the log, that would give its TxIDs to others.
    if plan.losesUnknown || state.txid < salvage.latest.txid
      || state.checkpointTxID > max(salvage.logEnd, plan.replayed?.snapshot.txid ?? .zero)
      || plan.replayed?.isSame == false
    {
      try planLine(&plan, state, salvage)
    } else {
      try planMending(&plan, state, salvage, summary)
    }
    return plan
  }

  private func numbers(_ directory: String) throws(StoreError) -> [UInt64] {
    try environment.fileSystem.listed(ifThere: directory).compactMap(StoreLayout.logNumber).sorted()
  }

  /// Something may have been published that no file shows any more: the newest segment is closed, which one
  /// is only where a later one has its name, or it says nothing of itself, or there is none.
  private func newestIsLost(_ store: StoreHandle, _ salvage: Salvage) throws(StoreError) -> Bool {
    guard let newest = try numbers(layout.log).last else { return true }
    do throws(StoreError) {
      let segment = try LogSegment(
        path: layout.segment(newest), store: store.id,
        environment: environment)
      let control = try segment.control()
      guard segment.number == newest, !control.isTruncated else { return true }
      return try salvage.lacksSuccessor(of: Set(numbers(layout.log)))
    } catch {
      guard [.damaged, .foreign].contains(error.code) else { throw error }
      return true
    }
  }

  // MARK: a line

  private func planLine(_ plan: inout Plan, _ state: Snapshot, _ salvage: Salvage)
    throws(StoreError)
  {
    let latest = salvage.latest.txid
    if state.txid < latest { plan.lost = [state.txid.next...latest] }
    for number in try numbers(layout.log) {
      plan.steps.append(.putApart(layout.segment(number)))
    }
    for number in try numbers(layout.oldLog) {
      plan.steps.append(.putApart(layout.oldSegment(number)))
    }
    // Without the log behind them nobody can use them here; with it, `sluice replay --log` can.
    let names = try environment.fileSystem.list(layout.checkpoints)
    let lines = try BegunLines(layout, environment.fileSystem)
    for name in names.sorted(by: Self.databaseFirst) {
      guard let txid = StoreLayout.checkpointTxID(name) ?? StoreLayout.sidecarTxID(name),
        // Those are put apart before: the new line's checkpoint may get the same name.
        lines.include(txid)
      else { continue }
      plan.steps.append(.putApart("\(layout.checkpoints)/\(name)"))
    }
    plan.steps.append(.line(of: state.txid, as: try HistoryLine.beginning(after: latest)))
    plan.steps.append(.current)
  }

  static func databaseFirst(_ a: String, _ b: String) -> Bool {
    let isDatabase = [a, b].map { StoreLayout.checkpointTxID($0) != nil }
    return isDatabase[0] == isDatabase[1] ? a < b : isDatabase[0]
  }

  // MARK: no loss of what is published

  private func planMending(
    _ plan: inout Plan, _ state: Snapshot, _ salvage: Salvage, _ summary: Verification.Summary
  ) throws(StoreError) {
    plan.lost = Self.merged(plan.damages.compactMap(\.lost))
    let newest = summary.checkpoints.last ?? .zero
    var isMade = false
    // Without a beacon a line was begun, and the repair cut off: who claims behind it publishes it.
    if isInTheWay(plan.damages, behind: newest, salvage) || plan.replayed != nil
      || salvage.lastBeacon == nil
    {
      plan.steps.append(.segment)
      isMade = true
    }
    let names = Set(try environment.fileSystem.list(layout.checkpoints))
    let lines = try BegunLines(layout, environment.fileSystem)
    for txid in Set(plan.damages.compactMap { checkpoint(at: $0.path) }).sorted() {
      for name in [StoreLayout.checkpointName(txid), StoreLayout.sidecarName(txid)]
      where names.contains(name) {
        plan.steps.append(.putApart("\(layout.checkpoints)/\(name)"))
        isMade = isMade || lines.include(txid)
      }
    }
    if let line = salvage.lineSegment {
      // A repair was cut off.
      for damage in plan.damages where logNumber(damage.path).map({ $0 < line }) ?? false {
        plan.steps.append(.putApart(damage.path))
      }
    }
    // One of the newest two is missing, or nobody gets from the newest one to the present.
    if plan.damages.contains(where: { $0.path == layout.current }) { isMade = true }
    guard isMade else { return }
    if !summary.checkpoints.contains(state.txid) {
      if state.txid > salvage.lastBeacon?.extent.txid ?? .zero, !plan.steps.contains(.segment) {
        // Whole, and not published yet.
        plan.steps.append(.segment)
      }
      plan.steps.append(.checkpoint(state.txid))
    }
    plan.steps.append(.current)
  }

  /// Whether something in the log is damaged that is read on the way from a checkpoint to the present.
  private func isInTheWay(
    _ damages: [Verification.Damage], behind checkpoint: TxID, _ salvage: Salvage
  ) -> Bool {
    let first = salvage.segment(holding: checkpoint)
    return damages.contains { logNumber($0.path).map { $0 >= first } ?? false }
  }

  private func logNumber(_ path: String) -> UInt64? {
    path.split(separator: "/").last.flatMap { StoreLayout.logNumber("\($0)") }
  }

  private func checkpoint(at path: String) -> TxID? {
    guard path.hasPrefix(layout.checkpoints + "/") else { return nil }
    let name = String(path.dropFirst(layout.checkpoints.count + 1))
    return StoreLayout.checkpointTxID(name) ?? StoreLayout.sidecarTxID(name)
  }

  static func merged(_ ranges: [ClosedRange<TxID>]) -> [ClosedRange<TxID>] {
    var merged: [ClosedRange<TxID>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = merged.last, range.lowerBound <= last.upperBound.next {
        merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        merged.append(range)
      }
    }
    return merged
  }
}
