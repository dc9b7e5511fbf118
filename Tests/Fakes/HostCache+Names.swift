internal import SluiceShared

/// What a machine believes of the names in one directory. Opening the directory clears it.
struct CachedDirectory {
  struct Name {
    /// What it names; nil: nothing.
    var inode: UInt64?
    var until_ns: UInt64
  }

  var names: [String: Name] = [:]
  /// What was listed: a name that is not in it is taken for missing, too.
  var listing: [String: UInt64]?
  var listedUntil_ns: UInt64 = 0
}

extension HostCache {
  /// What this machine takes the name for.
  func find(_ place: Place, _ now_ns: UInt64, _ state: MemoryDisk.State) -> UInt64? {
    guard isNetwork else { return state.find(place) }
    if let known = directories[place.directory] {
      if let name = known.names[place.name] {
        if name.until_ns > now_ns {
          if name.inode != state.find(place) { counts.staleNames += 1 }
          return name.inode
        }
      } else if let listing = known.listing, known.listedUntil_ns > now_ns,
        listing[place.name] == nil
      {
        if state.find(place) != nil { counts.staleNames += 1 }
        return nil
      }
    }
    return findAnew(place, now_ns, state)
  }

  /// Asks the server.
  func findAnew(_ place: Place, _ now_ns: UInt64, _ state: MemoryDisk.State) -> UInt64? {
    let inode = state.find(place)
    if isNetwork { remember(place, inode, now_ns) }
    return inode
  }

  /// A name that was there is believed for up to 30 s, a missing one for 20 to 59 s.
  func remember(_ place: Place, _ inode: UInt64?, _ now_ns: UInt64) {
    guard isNetwork, !place.name.isEmpty else { return }
    let until_ns = inode == nil ? later(now_ns, 20_000, 59_000) : later(now_ns, 0, 30_000)
    directories[place.directory, default: CachedDirectory()].names[place.name] =
      CachedDirectory.Name(inode: inode, until_ns: until_ns)
  }

  /// This machine changed the name: it knows it, and what it listed before is worth nothing.
  func changed(_ place: Place, _ inode: UInt64?, _ now_ns: UInt64) {
    guard isNetwork else { return }
    directories[place.directory]?.listing = nil
    remember(place, inode, now_ns)
  }

  /// Of a change whose reply was lost it does not know what became of it.
  func forget(_ place: Place) {
    directories[place.directory]?.listing = nil
    directories[place.directory]?.names[place.name] = nil
  }

  /// The directory was listed.
  func listed(_ path: String, _ now_ns: UInt64, _ state: MemoryDisk.State) {
    guard isNetwork else { return }
    directories[path] = CachedDirectory(
      listing: state.directories[path]?.names, listedUntil_ns: later(now_ns, 20_000, 59_000))
  }
}
