/// A change of a file's content, as it is sent to the server; a write lies in one block.
enum ContentChange {
  case write(block: Int, from: Int, bytes: [UInt8])
  case resize(to: Int64)
}

/// One open file, as the machine that opened it knows it.
struct Handle {
  /// A change that is not known to be durable.
  struct Unsynced {
    var change: ContentChange
    /// The server's life in which it landed; 0: it has not.
    var landed: UInt64 = 0
  }

  /// What becomes of the handle after the file was removed elsewhere.
  enum Removal {
    case unnoticed
    case harmless
    case stale(from_ns: UInt64)
  }

  let inode: UInt64
  let client: UInt64
  let host: HostCache?
  let path: String
  let isWritable: Bool
  /// In the order in which they were made: sent again in this order after the server restarted.
  var unsynced: [Unsynced] = []
  /// How many of them have not landed.
  var unlanded = 0
  var removal = Removal.unnoticed
  /// The client could not keep it open.
  var isLost = false
  /// The name that the file got when it was unlinked here.
  var sillyName: Place?

  var hostNumber: Int { host?.number ?? 0 }
}

extension MemoryDisk.State {
  /// A new open file; its number.
  mutating func open(
    _ inode: UInt64, _ path: String, isWritable: Bool, client: UInt64, host: HostCache?
  ) -> UInt64 {
    let number = number()
    inodes[inode]?.opened += 1
    handles[number] = Handle(
      inode: inode, client: client, host: host, path: path, isWritable: isWritable)
    host?.opened(inode, number, isWritable: isWritable)
    return number
  }

  /// close(2), or the end of the process. What was not synced reaches the server some time, or never.
  mutating func close(_ number: UInt64, hostDied: Bool = false) {
    cutLoose(number, hostDied: hostDied)
    guard let handle = handles.removeValue(forKey: number) else { return }
    if !hostDied { handle.host?.closed(number, handle, &self) }
    inodes[handle.inode]?.opened -= 1
    removeIfUnused(handle.inode)
  }

  // MARK: Landing

  /// The server gets a change.
  mutating func land(_ change: ContentChange, _ inode: UInt64, by host: Int, now_ms: Int64?) {
    guard inodes[inode] != nil else { return }
    switch change {
    case .write(let block, let from, let bytes):
      inodes[inode]?.content.write(bytes, to: block, from: from)
    case .resize(let size): inodes[inode]?.content.resize(to: size)
    }
    inodes[inode]?.changes.add(host)
    if let now_ms { inodes[inode]?.modified_ms = now_ms }
  }

  /// Sends a change at once.
  mutating func send(_ change: ContentChange, _ number: UInt64, now_ms: Int64?) {
    // No copy of the handle is held while its list grows.
    guard let inode = handles[number]?.inode, let host = handles[number]?.hostNumber else { return }
    land(change, inode, by: host, now_ms: now_ms)
    handles[number]?.unsynced.append(Handle.Unsynced(change: change, landed: life))
  }

  /// Keeps a change to send it later.
  mutating func float(_ change: ContentChange, _ number: UInt64) {
    guard let unlanded = handles[number]?.unlanded else { return }
    if unlanded == 0 { late.waiting.append(number) }
    late.count += 1
    handles[number]?.unlanded += 1
    handles[number]?.unsynced.append(Handle.Unsynced(change: change))
  }

  /// Lands what an open file has on its way.
  mutating func flush(_ number: UInt64, now_ms: Int64?) {
    guard let handle = handles[number], handle.unlanded > 0 else { return }
    for place in handle.unsynced.indices where handle.unsynced[place].landed == 0 {
      land(handle.unsynced[place].change, handle.inode, by: handle.hostNumber, now_ms: now_ms)
      handles[number]?.unsynced[place].landed = life
    }
    noneUnlanded(number)
  }

  /// What an open file wrote before and now writes again is replaced in its cache, not sent twice.
  mutating func replaceUnlanded(of number: UInt64, _ range: Range<Int64>, now_ms: Int64?) {
    guard let handle = handles[number], handle.unlanded > 0 else { return }
    var kept: [Handle.Unsynced] = []
    var unlanded = 0
    for var unsynced in handle.unsynced {
      if unsynced.landed == 0, case .write(let block, let from, let bytes) = unsynced.change {
        let start = Int64(block * BlockMap.blockBytes + from)
        let place = start..<start + Int64(bytes.count)
        if place.overlaps(range) {
          if place.clamped(to: range) == place { continue }
          land(unsynced.change, handle.inode, by: handle.hostNumber, now_ms: now_ms)
          unsynced.landed = life
        } else {
          unlanded += 1
        }
      }
      kept.append(unsynced)
    }
    handles[number]?.unsynced = kept
    late.count -= handle.unlanded - unlanded
    handles[number]?.unlanded = unlanded
    if unlanded == 0 { late.waiting.removeAll { $0 == number } }
  }

  private mutating func noneUnlanded(_ number: UInt64) {
    late.count -= handles[number]?.unlanded ?? 0
    handles[number]?.unlanded = 0
    late.waiting.removeAll { $0 == number }
  }

  // MARK: Syncing

  /// Everything that this file wrote is durable. `wholeFile`: on its own machine's disk, where the
  /// others' writes are too.
  mutating func sync(_ number: UInt64, wholeFile: Bool, now_ms: Int64?) {
    guard let handle = handles[number] else { return }
    // After a restart of the server the rest is sent again, in order.
    let first = handle.unsynced.firstIndex { $0.landed != life } ?? handle.unsynced.count
    for unsynced in handle.unsynced[first...] {
      land(unsynced.change, handle.inode, by: handle.hostNumber, now_ms: now_ms)
    }
    if wholeFile {
      inodes[handle.inode]?.content.settle()
    } else if !handle.unsynced.isEmpty {
      for unsynced in handle.unsynced {
        if case .write(let block, _, _) = unsynced.change {
          inodes[handle.inode]?.content.settle(block)
        }
      }
      inodes[handle.inode]?.content.settleSize()
    }
    noneUnlanded(number)
    handles[number]?.unsynced.removeAll(keepingCapacity: true)
  }

  /// A sync failed: the machine forgets what it was to send, and does not try again.
  mutating func failSync(_ number: UInt64) {
    guard let handle = handles[number] else { return }
    cutLoose(number, hostDied: false)
    for unsynced in handle.unsynced {
      if case .write(let block, _, _) = unsynced.change {
        inodes[handle.inode]?.content.forget(block)
      }
    }
    handles[number]?.unsynced = []
  }

  /// Nobody waits any more for what this file has on its way.
  private mutating func cutLoose(_ number: UInt64, hostDied: Bool) {
    guard let handle = handles[number], handle.unlanded > 0 else { return }
    for unsynced in handle.unsynced where unsynced.landed == 0 {
      late.loose.append(
        LateWrites.Loose(
          change: unsynced.change, inode: handle.inode, host: handle.hostNumber,
          hostDied: hostDied))
    }
    noneUnlanded(number)
    handles[number]?.unsynced.removeAll { $0.landed == 0 }
  }
}
