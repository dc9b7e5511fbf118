extension MemoryDisk.State {
  /// The server restarts: of what was not synced, all, nothing or some is gone.
  mutating func losePower(_ random: inout SeededRandom) {
    life += 1
    late.loose.removeAll { $0.host == 0 || $0.hostDied }
    for path in directories.keys.sorted() {
      let count = directories[path]?.unsynced.count ?? 0
      if count > 0 { directories[path]?.losePower(keeping: random.below(count + 1)) }
    }
    let surviving = [0, 0.3, 0.7, 1][random.below(4)]
    for inode in inodes.keys.sorted() where inodes[inode]?.content.isStable == false {
      inodes[inode]?.content.losePower(&random, surviving: surviving)
    }
    nameAnew()
    // The caches of the clients are not what the server has.
    for inode in inodes.keys { inodes[inode]?.changes.add(0) }
  }

  /// Everything lands and is durable.
  mutating func settle(now_ms: Int64?) {
    for number in handles.keys.sorted() { sync(number, wholeFile: true, now_ms: now_ms) }
    for loose in late.loose { land(loose.change, loose.inode, by: 0, now_ms: now_ms) }
    late.loose = []
    for inode in inodes.keys { inodes[inode]?.content.becomeStable() }
    for path in directories.keys.sorted() { syncDirectory(path) }
  }

  /// What is certain to be there after any loss of power.
  func stable() -> MemoryDisk.State {
    var copy = self
    copy.handles = [:]
    copy.late = LateWrites()
    for (path, directory) in directories where !directory.unsynced.isEmpty {
      copy.directories[path] = directory.stable()
    }
    for (number, inode) in inodes {
      if !inode.content.isStable { copy.inodes[number]?.content = inode.content.stable() }
      if inode.opened > 0 { copy.inodes[number]?.opened = 0 }
    }
    copy.nameAnew()
    return copy
  }

  /// After names were undone: files without one are gone, as are directories that nobody finds.
  private mutating func nameAnew() {
    for path in directories.keys.sorted() where !path.isEmpty {
      // Those above come first, so that the whole tree goes.
      let place = Place(path)
      if directories[place.directory]?.names[place.name] != directories[path]?.inode {
        directories[path] = nil
      }
    }
    var links: [UInt64: UInt32] = [1: 1]
    for directory in directories.values {
      for inode in directory.names.values { links[inode, default: 0] += 1 }
    }
    for number in inodes.keys {
      if let count = links[number] {
        inodes[number]?.links = count
        inodes[number]?.returns = 0
      } else {
        inodes[number] = nil
      }
    }
  }
}
