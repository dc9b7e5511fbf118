internal import SluiceShared

/// What one machine believes of a disk, as an NFS client does: names, attributes and pages, each
/// for a while.
final class HostCache: @unchecked Sendable {
  // Sendable: what is not `let` is touched under the disk's lock only.
  let number: Int
  let isNetwork: Bool
  var random: SeededRandom
  var counts = MemoryHost.Counts()
  /// By path.
  var directories: [String: CachedDirectory] = [:]
  /// By inode.
  var files: [UInt64: CachedFile] = [:]
  /// Of symbolic links, by inode.
  var targets: [UInt64: String] = [:]

  init(number: Int, isNetwork: Bool, random: SeededRandom) {
    self.number = number
    self.isNetwork = isNetwork
    self.random = random
  }

  func clear() {
    directories = [:]
    files = [:]
    targets = [:]
  }

  /// A time between `from_ms` and `to_ms` from now on.
  func later(_ now_ns: UInt64, _ from_ms: Int, _ to_ms: Int) -> UInt64 {
    now_ns + UInt64(from_ms + random.below(to_ms - from_ms + 1)) * 1_000_000
  }

  // MARK: Open files

  func opened(_ inode: UInt64, _ handle: UInt64, isWritable: Bool) {
    guard isNetwork else { return }
    files[inode, default: CachedFile()].handles.append(handle)
    if isWritable { files[inode]?.writers += 1 }
  }

  /// Called when the handle is known to nobody any more.
  func closed(_ number: UInt64, _ handle: Handle, _ state: inout MemoryDisk.State) {
    guard isNetwork else { return }
    files[handle.inode]?.handles.removeAll { $0 == number }
    if handle.isWritable { files[handle.inode]?.writers -= 1 }
    guard let sillyName = handle.sillyName else { return }
    let isOpen = files[handle.inode]?.handles.contains {
      state.handles[$0]?.sillyName == sillyName
    }
    if isOpen != true, state.find(sillyName) == handle.inode {
      state.set(sillyName, nil, by: self.number)
      state.syncDirectory(sillyName.directory)
      forget(sillyName)
    }
  }

  /// The handles by which processes here have opened the file under this name.
  func handles(of inode: UInt64, at place: Place, _ state: MemoryDisk.State) -> [UInt64] {
    guard isNetwork, let handles = files[inode]?.handles, !handles.isEmpty else { return [] }
    let path = place.path
    return handles.filter {
      state.handles[$0]?.path == path && state.handles[$0]?.sillyName == nil
    }
  }

  /// Unlinks a file that processes here have open: it gets another name until they close it.
  func renameSilly(
    _ inode: UInt64, at place: Place, openedBy handles: [UInt64], _ state: inout MemoryDisk.State
  ) {
    let name = Place(
      ".nfs" + hexadecimal(random.next(), width: 16), in: place.directory)
    counts.sillyRenames += 1
    state.set(name, inode, by: number)
    state.set(place, nil, by: number, joinsPrevious: true)
    state.syncDirectory(place.directory)
    for handle in handles { state.handles[handle]?.sillyName = name }
  }

  /// Whether the handle of a file without names has become stale. It is drawn when this machine
  /// first touches it after the file was removed elsewhere.
  func isStale(_ number: UInt64, _ now_ns: UInt64, _ state: inout MemoryDisk.State) -> Bool {
    guard let handle = state.handles[number], let inode = state.inodes[handle.inode] else {
      return true
    }
    guard inode.links == 0 else {
      if case .unnoticed = handle.removal { return false }
      state.handles[number]?.removal = .unnoticed
      return false
    }
    switch handle.removal {
    case .harmless: return false
    case .stale(let from_ns): return now_ns >= from_ns
    case .unnoticed:
      let from_ns = random.chance(0.3) ? now_ns : later(now_ns, 0, 10_000)
      let removal: Handle.Removal = random.chance(0.5) ? .harmless : .stale(from_ns: from_ns)
      state.handles[number]?.removal = removal
      if case .stale = removal { return now_ns >= from_ns }
      return false
    }
  }
}
