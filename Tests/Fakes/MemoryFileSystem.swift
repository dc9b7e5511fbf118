public import SluiceShared

/// One process's mount of a `MemoryDisk`, with a hook before each operation.
public struct MemoryFileSystem: FileSystem {
  public let disk: MemoryDisk
  /// Whose mount it is: its unlanded writes are known by it.
  public let client: UInt64
  let clock: any Clock
  let hook: FileHook?
  let network: Bool
  let owner: UInt32
  let host: MemoryHost?
  let isReadOnly: Bool

  /// `isNetwork`: as NFS does it, a file that another client removed answers ESTALE.
  public init(
    _ disk: MemoryDisk = MemoryDisk(), clock: any Clock = ManualClock(), client: UInt64 = 0,
    owner: UInt32 = 1000, isNetwork: Bool = false, host: MemoryHost? = nil,
    isReadOnly: Bool = false, hook: FileHook? = nil
  ) {
    self.host = host
    self.isReadOnly = isReadOnly
    self.disk = disk
    self.clock = clock
    self.client = client
    self.owner = owner
    network = host.map { $0.kind == .network } ?? isNetwork
    self.hook = hook
  }

  /// Makes directories, those above them too; no hook is called.
  public func makeDirectories(_ paths: [String]) {
    let now = clock.wallTime_ms()
    disk.state.withLock { state in
      for path in paths {
        var prefix = ""
        for part in path.split(separator: "/") {
          prefix += "/\(part)"
          guard state.entries[prefix] == nil else { continue }
          let number = state.number()
          state.inodes[number] = MemoryDisk.Inode(
            kind: .directory, owner: owner, permissions: 0o755, modified_ms: now)
          state.entries[prefix] = number
        }
      }
    }
  }

  private func operate<R>(
    _ action: FileOperation.Action, _ path: String,
    _ body: (inout MemoryDisk.State) -> Result<R, StoreError>
  ) throws(StoreError) -> R {
    switch hook?(FileOperation(action, path)) ?? .done {
    case .fails(let error), .failsTorn(_, let error): throw error
    case .doneButFails(let error):
      _ = try disk.perform(body)
      throw error
    case .done, .torn: return try disk.perform(body)
    }
  }

  public func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    try operate(.open, path) { state -> Result<any File, StoreError> in
      guard let inode = state.entries[path] else { return .failure(.posix(2, path, "open")) }
      if state.inodes[inode]?.kind == .symbolicLink { return .failure(.posix(40, path, "open")) }
      return .success(file(inode, path, access == .write, &state))
    }
  }

  public func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    let now = clock.wallTime_ms()
    return try operate(.create, path) { state -> Result<any File, StoreError> in
      guard state.entries[path] == nil else { return .failure(.posix(17, path, "create")) }
      guard hasParent(path, state) else { return .failure(.posix(2, path, "create")) }
      let inode = state.number()
      state.inodes[inode] = MemoryDisk.Inode(
        kind: .regular, owner: owner, permissions: mode, modified_ms: now)
      state.entries[path] = inode
      return .success(file(inode, path, true, &state))
    }
  }

  private func file(
    _ inode: UInt64, _ path: String, _ isWritable: Bool, _ state: inout MemoryDisk.State
  ) -> any File {
    state.open[inode, default: 0] += 1
    return MemoryFile(
      self, inode: inode, number: state.number(), path: path, isWritable: isWritable)
  }

  private func hasParent(_ path: String, _ state: MemoryDisk.State) -> Bool {
    guard let slash = path.lastIndex(of: "/") else { return false }
    let parent = String(path[..<slash])
    return parent.isEmpty || state.entries[parent].flatMap { state.inodes[$0]?.kind } == .directory
  }

  public func list(_ directory: String) throws(StoreError) -> [String] {
    try operate(.list, directory) { state -> Result<[String], StoreError> in
      guard state.entries[directory] != nil else {
        return .failure(.posix(2, directory, "list"))
      }
      let prefix = directory + "/"
      let names = state.entries.keys.filter { $0.hasPrefix(prefix) }
        .map { String($0.dropFirst(prefix.count)) }.filter { !$0.contains("/") }
      return .success(names.sorted())
    }
  }

  public func link(_ path: String, to newPath: String) throws(StoreError) {
    try operate(.link, newPath) { state -> Result<Void, StoreError> in
      guard let inode = state.entries[path] else { return .failure(.posix(2, path, "link")) }
      guard hasParent(newPath, state) else { return .failure(.posix(2, newPath, "link")) }
      if let old = state.entries[newPath] {
        guard disk.linkReplaces else { return .failure(.posix(17, newPath, "link")) }
        state.inodes[old]?.links -= 1
        state.removeIfUnused(old)
      }
      state.entries[newPath] = inode
      state.inodes[inode]?.links += 1
      return .success(())
    }
  }

  public func unlink(_ path: String) throws(StoreError) {
    try operate(.unlink, path) { state -> Result<Void, StoreError> in
      guard let inode = state.entries.removeValue(forKey: path) else {
        return .failure(.posix(2, path, "unlink"))
      }
      state.inodes[inode]?.links -= 1
      state.removeIfUnused(inode)
      return .success(())
    }
  }

  public func makeDirectory(_ path: String, mode: UInt32) throws(StoreError) {
    let now = clock.wallTime_ms()
    try operate(.makeDirectory, path) { state -> Result<Void, StoreError> in
      guard state.entries[path] == nil else { return .failure(.posix(17, path, "mkdir")) }
      guard hasParent(path, state) else { return .failure(.posix(2, path, "mkdir")) }
      let number = state.number()
      state.inodes[number] = MemoryDisk.Inode(
        kind: .directory, owner: owner, permissions: mode, modified_ms: now)
      state.entries[path] = number
      return .success(())
    }
  }

  public func setPermissions(_ path: String, mode: UInt32) throws(StoreError) {
    try operate(.setPermissions, path) { state -> Result<Void, StoreError> in
      guard let inode = state.entries[path] else { return .failure(.posix(2, path, "chmod")) }
      state.inodes[inode]?.permissions = mode
      return .success(())
    }
  }

  public func syncDirectory(_ path: String) throws(StoreError) {
    try operate(.syncDirectory, path) { state -> Result<Void, StoreError> in
      state.entries[path] == nil ? .failure(.posix(2, path, "fsync")) : .success(())
    }
  }

  public func status(_ path: String) throws(StoreError) -> FileStatus {
    try operate(.status, path) { state -> Result<FileStatus, StoreError> in
      guard let number = state.entries[path], let inode = state.inodes[number] else {
        return .failure(.posix(2, path, "lstat"))
      }
      return .success(FileStatus(inode, number))
    }
  }

  public func replaceSymbolicLink(_ path: String, target: String) throws(StoreError) {
    let now = clock.wallTime_ms()
    try operate(.replaceSymbolicLink, path) { state -> Result<Void, StoreError> in
      let number = state.number()
      var inode = MemoryDisk.Inode(
        kind: .symbolicLink, owner: owner, permissions: 0o777, modified_ms: now)
      inode.target = target
      state.inodes[number] = inode
      if let old = state.entries.updateValue(number, forKey: path) { state.inodes[old] = nil }
      return .success(())
    }
  }

  public func readSymbolicLink(_ path: String) throws(StoreError) -> String {
    try operate(.readSymbolicLink, path) { state -> Result<String, StoreError> in
      guard let number = state.entries[path], let inode = state.inodes[number],
        inode.kind == .symbolicLink
      else { return .failure(.posix(2, path, "readlink")) }
      return .success(inode.target)
    }
  }

  public func isNetwork(_ path: String) throws(StoreError) -> Bool { network }

  public func scratchFile() throws(StoreError) -> any File {
    let now = clock.wallTime_ms()
    return try disk.perform { state -> Result<any File, StoreError> in
      let number = state.number()
      state.inodes[number] = MemoryDisk.Inode(
        kind: .regular, links: 0, owner: owner, permissions: 0o600, modified_ms: now)
      return .success(file(number, "(scratch)", true, &state))
    }
  }
}

extension FileStatus {
  init(_ inode: MemoryDisk.Inode, _ number: UInt64) {
    self.init(
      kind: inode.kind, size: inode.size, modified_ms: inode.modified_ms, owner: inode.owner,
      links: inode.links, permissions: inode.permissions, inode: number)
  }
}
