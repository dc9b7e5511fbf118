internal import SluiceShared

extension MemoryDisk {
  /// How often a file was changed by each host, so that a host knows whether another did.
  struct ChangeCount {
    private var total: UInt64 = 0
    private var own: [UInt64] = []

    /// Changes by all but that host.
    func foreign(to host: Int) -> UInt64 { total - (host < own.count ? own[host] : 0) }

    mutating func add(_ host: Int) {
      total += 1
      if host >= own.count {
        own.append(contentsOf: repeatElement(0, count: host + 1 - own.count))
      }
      own[host] += 1
    }
  }

  struct Inode {
    var kind: FileStatus.Kind
    var content = FileContent()
    var links: UInt32 = 0
    var owner: UInt32
    var permissions: UInt32
    var modified_ms: Int64
    /// Of a symbolic link.
    var target = ""
    var changes = ChangeCount()
    /// How many open files there are of it: without names it lives as long as one is open.
    var opened = 0
    /// How many unsynced changes of directories may be undone so that it has a name again.
    var returns = 0
  }

  struct State {
    /// By path, without a slash at the end: "" is the root.
    var directories: [String: Directory] = ["": Directory(inode: 1)]
    var inodes: [UInt64: Inode] = [
      1: Inode(kind: .directory, links: 1, owner: 0, permissions: 0o755, modified_ms: 0)
    ]
    var lastNumber: UInt64 = 1
    var room: DiskRoom?
    var lastHost = 0
    var handles: [UInt64: Handle] = [:]
    var late = LateWrites()
    /// How often the server was started: what it got in an earlier life must be sent again.
    var life: UInt64 = 1
    /// Who asks now dies before it gets an answer.
    var isUnanswered = false
    var forbiddenWrites = 0
    var firstForbidden: String?

    mutating func number() -> UInt64 {
      lastNumber += 1
      return lastNumber
    }
  }
}

// MARK: Names

extension MemoryDisk.State {
  func find(_ place: Place) -> UInt64? {
    guard let directory = directories[place.directory] else { return nil }
    return place.name.isEmpty ? directory.inode : directory.names[place.name]
  }

  /// Whether the server can still reach the file by its handle.
  func isThere(_ inode: UInt64) -> Bool {
    guard let found = inodes[inode] else { return false }
    return found.links > 0 || found.opened > 0
  }

  mutating func make(_ inode: MemoryDisk.Inode) -> UInt64 {
    let number = number()
    inodes[number] = inode
    return number
  }

  /// Lets the place name `inode`, or nothing.
  mutating func set(_ place: Place, _ inode: UInt64?, by host: Int, joinsPrevious: Bool = false) {
    if let inode {
      inodes[inode]?.links += 1
      inodes[inode]?.changes.add(host)
      if inodes[inode]?.kind == .directory, directories[place.path] == nil {
        directories[place.path] = Directory(inode: inode)
      }
    }
    let before = directories[place.directory]?.set(place.name, inode, joinsPrevious: joinsPrevious)
    if let before = before ?? nil {
      inodes[before]?.links -= 1
      inodes[before]?.returns += 1
      inodes[before]?.changes.add(host)
    }
  }

  mutating func syncDirectory(_ path: String) {
    guard let changes = directories[path]?.unsynced, !changes.isEmpty else { return }
    directories[path]?.becomeStable()
    for change in changes {
      guard let inode = change.before else { continue }
      inodes[inode]?.returns -= 1
      removeIfUnused(inode)
    }
  }

  mutating func removeIfUnused(_ inode: UInt64) {
    if let found = inodes[inode], found.links == 0, found.opened == 0, found.returns == 0 {
      inodes[inode] = nil
    }
  }
}

extension FileStatus {
  init(_ inode: MemoryDisk.Inode, _ number: UInt64) {
    self.init(
      kind: inode.kind, size: inode.content.size, modified_ms: inode.modified_ms,
      owner: inode.owner, links: inode.links, permissions: inode.permissions, inode: number)
  }
}
