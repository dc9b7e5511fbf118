/// Where a name is: its directory, and the name in it.
struct Place: Hashable, Sendable {
  var directory: String
  var name: String

  init(_ path: String) {
    let bytes = path.utf8
    guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else {
      // No such directory: all paths are absolute.
      directory = "."
      name = path
      return
    }
    directory = String(path[..<slash])
    name = String(path[bytes.index(after: slash)...])
  }

  init(_ name: String, in directory: String) {
    self.directory = directory
    self.name = name
  }

  var path: String { "\(directory)/\(name)" }
}

/// The names in one directory, and what a loss of power may undo of them.
struct Directory {
  /// One name changed since the directory was synced.
  struct Change {
    var name: String
    /// What it named before.
    var before: UInt64?
    /// Half of a rename: undone together with the one before it.
    var joinsPrevious: Bool
  }

  let inode: UInt64
  private(set) var names: [String: UInt64] = [:]
  private(set) var unsynced: [Change] = []
  private var listing: [String]?

  init(inode: UInt64) { self.inode = inode }

  mutating func set(_ name: String, _ inode: UInt64?, joinsPrevious: Bool) -> UInt64? {
    let before = names[name]
    unsynced.append(Change(name: name, before: before, joinsPrevious: joinsPrevious))
    names[name] = inode
    listing = nil
    return before
  }

  /// As it was made when the disk was prepared.
  mutating func setDurably(_ name: String, _ inode: UInt64) {
    names[name] = inode
    listing = nil
  }

  mutating func list() -> [String] {
    if let listing { return listing }
    let sorted = names.keys.sorted()
    listing = sorted
    return sorted
  }

  mutating func becomeStable() { unsynced = [] }

  /// The disk has the first `count` of the changes only.
  mutating func losePower(keeping count: Int) {
    while unsynced.count > count {
      let change = unsynced.removeLast()
      names[change.name] = change.before
      // A rename is there whole or not at all.
      if change.joinsPrevious, let other = unsynced.popLast() { names[other.name] = other.before }
    }
    unsynced = []
    listing = nil
  }

  /// The names that no loss of power changes, and what they name.
  func stable() -> Directory {
    var copy = self
    copy.losePower(keeping: 0)
    return copy
  }
}
