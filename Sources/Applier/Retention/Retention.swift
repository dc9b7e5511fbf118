internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// Removes what is older than what is to be kept: segments of the log, and checkpoints.
///
/// Nothing goes that a published, durable checkpoint and the log behind it do not supersede; which ones stay
/// is `RetentionPlan`'s affair, how segments go is `LogRetirement`'s. Why an applier that leads no more and
/// does not know it may do this too is said in docs/GUARANTEES.md (6, what a zombie can do).
final class Retention: @unchecked Sendable {
  // Sendable: `run` is called by one thread at a time, which has started the work or waited for it;
  // nothing else touches what changes.
  let checkpoint: Checkpoint
  private let settings: RetentionSettings
  private let environment: Environment
  private let retirement: LogRetirement
  /// Bytes used in segments that nobody writes any more, where they were asked for.
  private var usedBytes: [UInt64: Int64] = [:]

  init(_ checkpoint: Checkpoint, _ options: ApplierOptions, _ environment: Environment) {
    self.checkpoint = checkpoint
    settings = options.retention
    self.environment = environment
    retirement = LogRetirement(
      layout: checkpoint.layout, environment: environment, name: options.holder)
  }

  /// What is known when it begins.
  struct Occasion: Sendable {
    /// By the file server's clock.
    var now_ms: Int64
    /// In a beacon that was written.
    var published: PublishedTxID
    /// The newest segment with a beacon, as far as is known here; an earlier one serves as well.
    var segment: UInt64
    /// It has had that beacon for longer than a listing takes.
    var isSettled: Bool
    /// The checkpoint from which this process itself reads: it stays, and the log behind it. nil: from none.
    var used: TxID?
    /// The disk is full, or nearly: readers are not waited for.
    var isUrgent = false
  }

  /// What was done.
  struct Done: Sendable {
    /// Segments moved out of `log/`.
    var retired: [UInt64] = []
    var deletedSegments = 0
    var removedCheckpoints: [TxID] = []
    /// With which batch's checkpoint what is kept begins, and whether less would be kept but for `used`.
    var base = TxID.zero
    var waitsForRebase = false
    /// Readers were not waited for.
    var wasUrgent = false

    var isEmpty: Bool { retired.isEmpty && deletedSegments == 0 && removedCheckpoints.isEmpty }
  }

  /// Whoever comes next may be refused for want of room, also who cannot make any.
  var isRoomScarce: Bool {
    environment.fileSystem.room(in: checkpoint.layout.root)?.isScarce ?? false
  }

  func run(_ occasion: Occasion) throws(StoreError) -> Done {
    var done = Done()
    done.wasUrgent = occasion.isUrgent
    let readers_ms =
      occasion.isUrgent || !environment.makes(.keepForReaders)
      ? 0 : settings.readers.wholeMilliseconds
    // These are in no use but by readers that are behind: they make room without needing any.
    done.deletedSegments = try retirement.delete(movedBefore: occasion.now_ms - readers_ms)
    // Also where nothing else is to be done.
    let stale = try repointCurrent(occasion)
    let found = try found(upTo: occasion.published)
    guard
      var plan = try RetentionPlan(
        found.whole, settings, now_ms: occasion.now_ms,
        keepsTwo: environment.makes(.keepTwoCheckpoints),
        logBytes: { [self] (txid) throws(StoreError) in try logBytes(from: txid, occasion) })
    else { return done }
    if let used = occasion.used {
      if plan.base > used {
        done.waitsForRebase = true
        plan.base = found.whole.last { $0.txid <= used }?.txid ?? plan.base
      }
      plan.kept.formUnion([used, plan.base])
    }
    done.base = plan.base
    let superseded = found.whole.filter { !plan.kept.contains($0.txid) }
    let bound = try plan.endsBefore ? bound(plan.base, occasion) : 0
    guard bound > 0 || !superseded.isEmpty || !found.halves.isEmpty else { return done }
    try makeDurable(plan.base, occasion)
    try prove(plan.base)
    done.retired = try retirement.retire(
      below: bound, beneath: occasion.segment, isUrgent: occasion.isUrgent)
    // Readers begin with the newest one; those that began with one before it have had their time.
    let known = found.whole.last { $0.made_ms <= occasion.now_ms - readers_ms }?.txid ?? .zero
    for one in superseded where one.txid < known && one.txid != stale {
      try remove(one.txid)
      done.removedCheckpoints.append(one.txid)
    }
    // By now there may be room for it, and the next round removes that one too.
    if stale != nil { _ = try repointCurrent(occasion) }
    for path in found.halves { try unlink(path) }
    if readers_ms == 0 {
      done.deletedSegments += try retirement.delete(movedBefore: .max)
    }
    return done
  }

  // MARK: the log

  private static let manySegments = 64

  /// Segments below this go.
  private func bound(_ base: TxID, _ occasion: Occasion) throws(StoreError) -> UInt64 {
    // Not even those that hold nothing.
    guard settings.keep != nil || settings.bytes != nil else { return 0 }
    let segments = try LogPlaces(of: checkpoint.store, upTo: occasion.segment)
    var bound = occasion.segment
    if environment.makes(.retireSuperseded) {
      guard let needed = try segments.holding(base) else { return 0 }
      bound = min(bound, needed)
    }
    // Segments that hold nothing are in nobody's way, but for many of them. (A late claimant's has no
    // beacon, and goes.)
    if let first = try segments.first(), first >= base, segments.numbers.count <= Self.manySegments,
      environment.makes(.retireSuperseded)
    {
      return 0
    }
    if !occasion.isSettled { bound = min(bound, try segments.before(occasion.segment) ?? 0) }
    return segments.numbers.first.map { $0 < bound } == true ? bound : 0
  }

  private func logBytes(from txid: TxID, _ occasion: Occasion) throws(StoreError) -> Int64 {
    let segments = try LogPlaces(of: checkpoint.store, upTo: occasion.segment)
    // A checkpoint that was made late has no log behind it any more; all that there is is later.
    guard let first = try segments.holding(txid) ?? segments.numbers.first else { return 0 }
    var bytes: Int64 = 0
    for number in segments.numbers where number >= first {
      if let known = usedBytes[number] {
        bytes += known
        continue
      }
      let used = try segments.usedBytes(number)
      bytes += used
      if number < occasion.segment { usedBytes[number] = used }
    }
    usedBytes = usedBytes.filter { $0.key >= segments.numbers.first ?? 0 }
    return bytes
  }

  // MARK: checkpoints

  private struct Found {
    /// Published, with both their files, ascending.
    var whole: [RetentionPlan.Checkpoint] = []
    /// One file of a checkpoint that is no more, or never was one: older than the newest two.
    var halves: [String] = []
  }

  private func found(upTo published: PublishedTxID) throws(StoreError) -> Found {
    let layout = checkpoint.layout
    let listing = try CheckpointListing(of: checkpoint.store)
    var found = Found()
    for txid in listing.whole where txid <= published.txid {
      do throws(StoreError) {
        let status = try environment.fileSystem.status(layout.database(of: txid))
        let size = try environment.fileSystem.status(layout.sidecar(of: txid)).size
        found.whole.append(
          RetentionPlan.Checkpoint(
            txid: txid, made_ms: status.modified_ms, bytes: status.size + size))
      } catch {
        // Another applier is removing it.
        guard error.isGone else { throw error }
      }
    }
    let newest = found.whole.dropLast(RetentionSettings.leastCheckpoints - 1).last?.txid ?? .zero
    found.halves =
      listing.databasesAlone.filter { $0 < newest }.map(layout.database(of:))
      + listing.sidecarsAlone.filter { $0 < newest }.map(layout.sidecar(of:))
    return found
  }

  /// Whoever linked a checkpoint may have died before its names were durable; what it supersedes must not go
  /// before. (On NFS a directory's sync asks nobody, and a change of it that is answered brings those before
  /// along.)
  private func makeDurable(_ base: TxID, _ occasion: Occasion) throws(StoreError) {
    guard environment.makes(.retireBehindDurable) else { return }
    let directory = checkpoint.layout.checkpoints
    try environment.fileSystem.syncDirectory(directory)
    if try environment.fileSystem.isNetwork(directory) {
      _ = try passingFullDisk(occasion) { () throws(StoreError) in
        try environment.changeDirectory(of: checkpoint.layout.database(of: base))
      }
    }
  }

  /// What only makes something sure, or right for others, must not keep a full disk full. False: there was no room.
  private func passingFullDisk(_ occasion: Occasion, _ body: () throws(StoreError) -> Void)
    throws(StoreError) -> Bool
  {
    do throws(StoreError) { try body() } catch {
      guard occasion.isUrgent, error.isFullDisk else { throw error }
      return false
    }
    return true
  }

  /// It says what it is, and has the length that it says.
  private func prove(_ base: TxID) throws(StoreError) {
    let layout = checkpoint.layout
    let sidecar = try CheckpointSidecar(
      path: layout.sidecar(of: base), store: checkpoint.store.id,
      fileSystem: environment.fileSystem)
    let header = sidecar.header
    let path = layout.database(of: base)
    let size = try environment.fileSystem.status(path).size
    guard header.extent.txid == base, size == Int64(header.pageCount) * Int64(header.pageSize)
    else {
      throw StoreError(
        .damaged,
        "the checkpoint with which what is kept begins is not what it says it is, so nothing is removed; see `sluice verify`",
        path: path)
    }
  }

  /// The database first: what is left where this is cut off is then known for what it is.
  private func remove(_ txid: TxID) throws(StoreError) {
    try unlink(checkpoint.layout.database(of: txid))
    try unlink(checkpoint.layout.sidecar(of: txid))
  }

  /// Points `current.sqlite` to the newest checkpoint: an applier that stood still while it made one may have set
  /// it back, to one that is gone. Returns the one that it still leads to where a full disk has no room for
  /// that: the caller keeps it.
  private func repointCurrent(_ occasion: Occasion) throws(StoreError) -> TxID? {
    guard let newest = try checkpoint.newest(upTo: occasion.published) else { return nil }
    let isPointed = try passingFullDisk(occasion) { () throws(StoreError) in
      try checkpoint.pointCurrent(to: newest)
    }
    return isPointed ? nil : checkpoint.current()
  }

  private func unlink(_ path: String) throws(StoreError) {
    do throws(StoreError) { try environment.fileSystem.unlink(path) } catch {
      guard error.isGone else { throw error }
    }
  }
}
