import SluiceFakes
import SluiceJournal
import SluiceShared

extension World {
  /// What must hold before an operation is done, of what those before it have brought about.
  func observe(
    _ process: SimulatedProcess, _ operation: FileOperation, _ fate: FileFate
  ) {
    if mustLook, let what = observer.look() { oracle.violate(what) }
    // A claimant may read each beacon before the next one is written.
    if mustLook { noteAttempts() }
    mustLook = operation.changesBeacon
    if case .fails = fate { return }
    switch operation.action {
    case .unlink: checkRemoval(of: operation.path, by: process)
    case .link where operation.path.hasPrefix(World.layout.quarantine + "/"):
      let name = operation.path.dropFirst(World.layout.quarantine.count + 1)
      quarantined[process.number, default: []].insert(String(name))
    case .link where operation.path.hasSuffix(".log"): noteAttempts()
    case .link where operation.path.hasPrefix(World.layout.checkpoints + "/"):
      checkPublished(operation.path, by: process)
    // On a local disk the link is durable when its directory is.
    case .syncDirectory where operation.path == World.layout.root: checkpointWasPublished()
    case .replaceSymbolicLink where plan.isNetwork: checkpointWasPublished()
    case .write where operation.offset == Block.mark && operation.path.hasSuffix(".log"):
      noteAttempts()
    default: break
    }
  }

  /// Nobody, and no zombie, removes what is needed: acknowledged batches that are not in the published
  /// history, what lies in quarantine, the log, whole checkpoints, what describes the store.
  private func checkRemoval(of path: String, by process: SimulatedProcess) {
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    let isAside =
      path.hasPrefix(World.layout.quarantine + "/") && StoreLayout.journalSegment(name) != nil
    if isAside || path == World.layout.description {
      oracle.violate(.keptFileRemoved, "\(process.name) removes \(path)")
    } else if let segment = StoreLayout.journalSegment(name), path.hasPrefix(World.layout.journal) {
      checkRemoval(of: segment, at: path, by: process)
    } else if path.hasPrefix(World.layout.log + "/"), let number = StoreLayout.logNumber(name),
      disk.inode(of: path) != nil, !omitted.contains(.claimByLink)
    {
      // Without that check a claimant does, and what comes of it is to be seen.
      checkRetirement(of: number, at: path, by: process)
    } else if path.hasPrefix(World.layout.checkpoints + "/"), isInWholeCheckpoint(name) {
      checkRemoval(ofCheckpoint: name, by: process)
    }
  }

  private func checkRemoval(
    of segment: JournalSegmentID, at path: String, by process: SimulatedProcess
  ) {
    let name = StoreLayout.journalName(segment)
    let moved = "\(World.layout.quarantine)/\(name)"
    guard disk.inode(of: moved) == nil else {
      // Of one that had put it there, found no more remains, and so needs nothing, another says nothing.
      if !disk.isStable(moved), quarantined[process.number]?.contains(name) == true {
        oracle.violate(
          .removedBeforeQuarantine,
          "\(process.name) removes \(path) before its name in quarantine is durable")
      }
      return
    }
    let needed = observer.batches(in: path).filter {
      oracle.told[$0]?.told == .durable && !observer.hasPublished($0)
    }
    for batch in needed where !isInJournal(batch, beside: name, of: segment.writer) {
      oracle.violate(.lost, "\(process.name) removes \(path), and batch \(batch) is nowhere else")
    }
  }

  /// Whether `name` is one of the two files of a checkpoint, and the other is there.
  private func isInWholeCheckpoint(_ name: String) -> Bool {
    func isThere(_ name: String) -> Bool {
      disk.inode(of: "\(World.layout.checkpoints)/\(name)") != nil
    }
    if let txid = StoreLayout.checkpointTxID(name) {
      return isThere(name) && isThere(StoreLayout.sidecarName(txid))
    }
    guard let txid = StoreLayout.sidecarTxID(name) else { return false }
    return isThere(name) && isThere(StoreLayout.checkpointName(txid))
  }

  /// What was just acknowledged is published, or in the journal at the file server.
  func checkDurable(_ batch: BatchID) {
    guard !observer.hasPublished(batch), !isInJournal(batch, beside: "", of: batch.writer) else {
      return
    }
    if mustLook { _ = observer.look() }
    if !observer.hasPublished(batch) {
      oracle.violate(.lost, "batch \(batch) was acknowledged, and is nowhere")
    }
  }

  private func isInJournal(_ batch: BatchID, beside name: String, of writer: WriterID) -> Bool {
    // All segments of a writer have names that begin with its id.
    let prefix = "\(writer)."
    return disk.names(in: World.layout.journal).contains {
      $0 != name && $0.hasPrefix(prefix) && !forged.contains($0)
        && observer.batches(in: "\(World.layout.journal)/\($0)").contains(batch)
    }
  }

  func count(_ host: MemoryHost.Counts) {
    count(.staleHandles, host.staleHandles)
    count(.lostOpens, host.lostOpens)
    count(.sillyRenames, host.sillyRenames)
    count(.staleNames, host.staleNames)
    count(.keptPages, host.keptPages)
  }

  func count(_ operation: FileOperation, _ fate: FileFate) {
    switch fate {
    case .done:
      countProgress(operation)
      if let end_ns = scarceUntil_ns, scheduler.now_ns >= end_ns {
        (disk.room, scarceUntil_ns) = (nil, nil)
      }
    case .fails(let error), .failsTorn(_, let error):
      if error.errno == ProcessFaults.fullDisk {
        count(.fullDisks)
        // Nor does it say that it has room, for a while.
        disk.room = DiskRoom(freeBytes: 0, totalBytes: 1 << 40)
        scarceUntil_ns = scheduler.now_ns + World.scarceTime_ns
      } else if case .fails = fate {
        count(.failures)
      } else {
        count(.lateWrites)
      }
    case .doneButFails(let error):
      // Who died in it waits for no reply.
      guard error.errno == ProcessFaults.exists || error.errno == ProcessFaults.missing else {
        break
      }
      switch operation.action {
      case .create: count(.lostCreates)
      case .link: count(.lostLinks)
      case .unlink: count(.lostUnlinks)
      case .replaceSymbolicLink: count(.lostRenames)
      default: break
      }
    case .torn:
      countProgress(operation)
      switch operation.action {
      case .read: count(.tornReads)
      case .list: count(.tornListings)
      default: break
      }
    }
  }

  private func countProgress(_ operation: FileOperation) {
    switch operation.action {
    case .writeOn: count(.tornWrites)
    case .write where operation.closesJournal: count(.closedSegments)
    case .create where operation.path.hasSuffix(".seg"):
      segmentsMade[operation.path.dropLast(".00000001.seg".count), default: 0] += 1
    case .unlink where operation.path.hasSuffix(".seg"): count(.removedSegments)
    case .link where operation.path.hasPrefix(World.layout.oldLog + "/"): count(.retired)
    case .link where operation.path.hasSuffix(".log"): count(.logSegments)
    case .unlink where operation.path.hasPrefix(World.layout.oldLog + "/"): count(.deleted)
    case .unlink
    where operation.path.hasPrefix(World.layout.checkpoints) && operation.path.hasSuffix(".sqlite"):
      count(.removedCheckpoints)
    case .resize where operation.path.hasSuffix(".log") && operation.offset < plan.logSegmentBytes:
      count(.cutFrames)
    case .link where operation.path.hasSuffix(".seg"): count(.quarantined)
    case .link where operation.path.hasPrefix(World.layout.checkpoints): count(.checkpoints)
    default: break
    }
  }
}

extension FileOperation {
  /// It writes a log segment's beacon, or makes it durable.
  fileprivate var changesBeacon: Bool {
    guard path.hasSuffix(".log") else { return false }
    switch action {
    case .sync: return true
    case .write, .writeOn: return offset >= Block.beacons.0 && offset < Block.firstLogFrame
    default: return false
    }
  }
}
