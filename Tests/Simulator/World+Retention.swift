import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceShared

/// What must hold when something of the past is removed, whoever does it.
extension World {
  /// Of the log nothing goes but what a published, durable checkpoint and the log behind it supersede, the
  /// lowest first; and that only moves at first.
  func checkRetirement(of number: UInt64, at path: String, by process: SimulatedProcess) {
    let isOld = path.hasPrefix(World.layout.oldLog + "/")
    let published = observer.published(in: World.layout.log)
    guard let newest = published.last, newest > number || isOld else {
      return oracle.violate(
        .uncoveredSegmentRemoved, "\(process.name) removes \(path), and none above it has a beacon")
    }
    // A late claimant's, who never started.
    guard observer.hasBeacon(path) else { return }
    if !isOld {
      if let lower = published.first, lower < number {
        return oracle.violate(
          .segmentRemovedFromAbove,
          "\(process.name) removes \(path) before \(lower), which is below it")
      }
      let old = World.layout.oldSegment(number)
      // A full disk may have no room for that name.
      guard disk.inode(of: old) == disk.inode(of: path) || statistics[.fullDisks] > 0 else {
        return oracle.violate(
          .uncoveredSegmentRemoved, "\(process.name) removes \(path), which has no name in old/")
      }
      retiredAt_ns[old] = retiredAt_ns[old] ?? scheduler.now_ns
    }
    var durable = wholeCheckpoints.filter { isDurable($0) }
    // Where all is kept, that is what lies behind the first; a segment may have nothing of it.
    if plan.retention == nil { durable = durable.filter { $0 == .zero } }
    guard durable.contains(where: { observer.needed(after: $0).map { $0 > number } ?? true }) else {
      return oracle.violate(
        .neededSegmentRemoved,
        "\(process.name) removes \(path), which is needed behind the checkpoints \(durable)")
    }
    if isOld { checkTime(of: path, by: process) }
  }

  /// The newest two stay, and what is superseded for a while.
  func checkRemoval(ofCheckpoint name: String, by process: SimulatedProcess) {
    guard plan.retention != nil else {
      return oracle.violate(
        .checkpointRemoved, "\(process.name) removes \(name), of a whole checkpoint")
    }
    let stem = name.prefix { $0 != "." }
    let newer = wholeCheckpoints.filter {
      StoreLayout.checkpointName($0).prefix { $0 != "." } > stem
    }
    guard newer.filter({ isDurable($0) }).count >= 2 else {
      return oracle.violate(
        .checkpointRemoved, "\(process.name) removes \(name), of the newest two checkpoints")
    }
    removedCheckpoints.insert("\(stem).sqlite")
    if newer.allSatisfy({
      !hadTime("\(World.layout.checkpoints)/\(StoreLayout.checkpointName($0))")
    }) {
      tooEarly(name, process)
    }
  }

  func checkPublished(_ path: String, by process: SimulatedProcess) {
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    guard let txid = StoreLayout.checkpointTxID(name), txid > observer.extent.txid else { return }
    oracle.violate(
      .unpublishedCheckpoint,
      "\(process.name) makes a checkpoint of batch \(txid), which is not published")
  }

  /// Whether `current.sqlite` may lead nowhere because what it leads to was removed: an applier that stood
  /// still has set it back.
  func wasRemoved(_ target: String) -> Bool {
    removedCheckpoints.contains(String(target.dropFirst("checkpoints/".count)))
  }

  // MARK: parts

  private func checkTime(of path: String, by process: SimulatedProcess) {
    if !hadTime(path) { tooEarly(path, process) }
  }

  private func tooEarly(_ path: String, _ process: SimulatedProcess) {
    // Who finds the disk full waits for no reader.
    guard statistics[.fullDisks] == 0 else { return }
    oracle.violate(
      .removedTooEarly, "\(process.name) removes \(path) before its readers had their time")
  }

  private func hadTime(_ path: String) -> Bool {
    // A late holder that writes into its file dates it anew.
    if let retired_ns = retiredAt_ns[path], let retention = plan.retention,
      scheduler.now_ns - retired_ns >= UInt64(retention.readers.inNanoseconds)
    {
      return true
    }
    guard let date_ms = observer.date_ms(path), let retention = plan.retention else { return true }
    let now_ms = SimulatedClock(scheduler).wallTime_ms()
    return now_ms - date_ms >= retention.readers.wholeMilliseconds
  }

  private var wholeCheckpoints: [TxID] {
    CheckpointListing(disk.names(in: World.layout.checkpoints)).whole
      .filter { $0 <= observer.extent.txid }
  }

  private func isDurable(_ txid: TxID) -> Bool {
    [StoreLayout.checkpointName(txid), StoreLayout.sidecarName(txid)].allSatisfy {
      disk.isStable("\(World.layout.checkpoints)/\($0)")
    }
  }
}

extension Observer {
  /// The numbers of segments with a beacon in a directory, ascending.
  func published(in directory: String) -> [UInt64] {
    names(in: directory).compactMap(StoreLayout.logNumber).sorted().filter {
      hasBeacon("\(directory)/\(StoreLayout.logName($0))")
    }
  }

  func hasBeacon(_ path: String) -> Bool {
    let segment = try? LogSegment(path: path, store: store.id, environment: environment)
    return (try? segment?.control().beacon) != nil
  }

  func names(in directory: String) -> [String] {
    (try? environment.fileSystem.list(directory)) ?? []
  }

  func date_ms(_ path: String) -> Int64? {
    try? environment.fileSystem.status(path).modified_ms
  }

  /// The lowest segment that holds commits behind `txid`; nil where that cannot be told.
  func needed(after txid: TxID) -> UInt64? {
    let log = Log(of: store)
    guard let present = try? log.present(waits: false) else { return nil }
    return (try? log.kept(after: txid, upTo: present))?.first?.segment.number
  }

  /// The first state that can be read of all that was, as the files are now; nil where that cannot be told.
  var oldestState: TxID? {
    let log = Log(of: store)
    guard let present = try? log.present(waits: false),
      let begins = (try? log.kept(after: .zero, upTo: present))?.first?.inherited.txid
    else { return nil }
    return CheckpointListing(names(in: World.layout.checkpoints)).whole.first { $0 >= begins }
  }
}
