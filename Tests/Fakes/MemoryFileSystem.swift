package import SluiceShared

/// One process's mount of a `MemoryDisk`, with a hook before each operation, and one between its
/// effect and its answer.
///
/// Without a host it stands for a machine of its own that caches nothing.
package struct MemoryFileSystem: FileSystem {
  package let disk: MemoryDisk
  /// The process: its unlanded writes are known by it.
  package let client: UInt64
  let clock: any Clock
  let hook: FileHook?
  let reply: (@Sendable () -> Void)?
  let network: Bool
  let owner: UInt32
  let host: MemoryHost?
  let isReadOnly: Bool

  /// `isNetwork`: as NFS does it, a file that another client removed answers ESTALE; a `host` says
  /// by its kind. `isReadOnly`: what changes anything fails with EROFS, and the disk counts it.
  package init(
    _ disk: MemoryDisk = MemoryDisk(), clock: any Clock = ManualClock(), client: UInt64 = 0,
    owner: UInt32 = 1000, isNetwork: Bool = false, host: MemoryHost? = nil,
    isReadOnly: Bool = false, hook: FileHook? = nil, reply: (@Sendable () -> Void)? = nil
  ) {
    self.disk = disk
    self.clock = clock
    self.client = client
    self.owner = owner
    self.host = host
    self.isReadOnly = isReadOnly
    network = host.map { $0.kind == .network } ?? isNetwork
    self.hook = hook
    self.reply = reply
  }

  /// Makes directories, those above them too; no hook is called, and they are durable.
  package func makeDirectories(_ paths: [String]) {
    let now_ms = disk.now_ms(clock)
    disk.state.withLock { state in
      for path in paths {
        var prefix = ""
        for part in path.split(separator: "/") {
          let place = Place(String(part), in: prefix)
          prefix = place.path
          guard state.find(place) == nil else { continue }
          let inode = state.make(
            MemoryDisk.Inode(
              kind: .directory, links: 1, owner: owner, permissions: 0o755, modified_ms: now_ms))
          state.directories[place.directory]?.setDurably(place.name, inode)
          state.directories[prefix] = Directory(inode: inode)
        }
      }
    }
  }

  // MARK: What all operations have in common

  /// The cache of the machine; nil where nothing is cached.
  var cache: HostCache? { network ? host?.cache : nil }

  var now_ns: UInt64 { host?.clock.bootTime_ns() ?? 0 }

  /// Calls the hook, then does it as the hook has it. `changes`: not allowed on a read-only mount.
  private func operate<R>(
    _ action: FileOperation.Action, _ path: String, changes: Bool = false,
    _ body: (inout MemoryDisk.State, Place, _ now_ns: UInt64) -> Result<R, StoreError>
  ) throws(StoreError) -> R {
    let isForbidden = changes && isReadOnly
    if isForbidden { noteForbidden(path) }
    let fate = fate(action, path)
    if isForbidden { throw .posix(30, path, "\(action)") }
    return try operate(path, fate, changes: changes, body)
  }

  private func fate(_ action: FileOperation.Action, _ path: String) -> FileFate {
    hook?(FileOperation(action, path)) ?? .done
  }

  private func operate<R>(
    _ path: String, _ fate: FileFate, changes: Bool = false,
    _ body: (inout MemoryDisk.State, Place, _ now_ns: UInt64) -> Result<R, StoreError>
  ) throws(StoreError) -> R {
    let now_ns = now_ns
    let place = Place(path)
    switch fate {
    case .fails(let error), .failsTorn(_, let error): throw error
    case .done, .torn:
      defer { reply?() }
      return try disk.perform { body(&$0, place, now_ns) }
    case .doneButFails(let error):
      _ = try disk.perform { state in
        state.isUnanswered = !error.isAnswer
        defer { state.isUnanswered = false }
        let result = body(&state, place, now_ns)
        if changes { cache?.forget(place) }
        return result
      }
      throw error
    }
  }

  private func noteForbidden(_ path: String) {
    disk.state.withLock { state in
      state.forbiddenWrites += 1
      if state.firstForbidden == nil { state.firstForbidden = path }
    }
  }

  /// What this machine takes a name for.
  private func find(_ place: Place, _ now_ns: UInt64, _ state: MemoryDisk.State) -> UInt64? {
    if let cache { return cache.find(place, now_ns, state) }
    return state.find(place)
  }

  /// What `use` makes of the file that this machine takes a name for. Where the server does not know
  /// that file any more, it is asked for the name again.
  private func withFile<R>(
    _ place: Place, _ now_ns: UInt64, _ state: MemoryDisk.State, _ use: (UInt64) -> R?
  ) -> R? {
    if let inode = find(place, now_ns, state), let result = use(inode) { return result }
    // What is cached as missing is missing.
    guard let cache, find(place, now_ns, state) != nil else { return nil }
    return cache.findAnew(place, now_ns, state).flatMap(use)
  }

  private func hasParent(_ place: Place, _ state: MemoryDisk.State) -> Bool {
    state.directories[place.directory] != nil
  }

  // MARK: Files

  package func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    let isWritable = access == .write
    let (inode, number) = try operate(.open, path, changes: isWritable) {
      state, place, now_ns -> Result<(UInt64, UInt64), StoreError> in
      let found = withFile(place, now_ns, state) { inode -> UInt64? in
        guard let cache else { return inode }
        return cache.revalidateAtOpen(inode, now_ns, state) ? inode : nil
      }
      guard let inode = found else { return .failure(.posix(2, path, "open")) }
      if state.inodes[inode]?.kind == .symbolicLink { return .failure(.posix(40, path, "open")) }
      return .success((inode, open(inode, path, isWritable, &state)))
    }
    return MemoryFile(self, inode: inode, number: number, path: path, access: access)
  }

  package func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    try create(path, mode: mode, isUncached: false)
  }

  package var openFileLimit: Int { 1024 }

  package func createUncached(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    try create(path, mode: mode, isUncached: network)
  }

  private func create(_ path: String, mode: UInt32, isUncached: Bool) throws(StoreError)
    -> any File
  {
    let (inode, number) = try operate(.create, path, changes: true) {
      state, place, now_ns -> Result<(UInt64, UInt64), StoreError> in
      let now_ms = disk.now_ms(clock)
      guard state.find(place) == nil else { return .failure(.posix(17, path, "create")) }
      guard hasParent(place, state) else { return .failure(.posix(2, path, "create")) }
      let inode = make(.regular, at: place, mode, now_ms, now_ns, &state)
      let number = open(inode, path, true, &state)
      cache?.revalidate(inode, now_ns, state)
      return .success((inode, number))
    }
    return MemoryFile(
      self, inode: inode, number: number, path: path, access: .write, isUncached: isUncached)
  }

  private func open(
    _ inode: UInt64, _ path: String, _ isWritable: Bool, _ state: inout MemoryDisk.State
  ) -> UInt64 {
    state.open(inode, path, isWritable: isWritable, client: client, host: host?.cache)
  }

  private func make(
    _ kind: FileStatus.Kind, at place: Place, _ mode: UInt32, target: String = "",
    _ now_ms: Int64, _ now_ns: UInt64, _ state: inout MemoryDisk.State
  ) -> UInt64 {
    let inode = state.make(
      MemoryDisk.Inode(
        kind: kind, owner: owner, permissions: mode, modified_ms: now_ms, target: target))
    set(place, inode, now_ns, &state)
    return inode
  }

  private func set(
    _ place: Place, _ inode: UInt64?, _ now_ns: UInt64, _ state: inout MemoryDisk.State
  ) {
    state.set(place, inode, by: host?.cache.number ?? 0)
    if let directory = state.directories[place.directory]?.inode {
      state.inodes[directory]?.modified_ms = disk.now_ms(clock)
    }
    // An NFS server answers when a change of a directory is durable; before, others may see it.
    if network, !state.isUnanswered { state.syncDirectory(place.directory) }
    cache?.changed(place, inode, now_ns)
    cache?.expire(inode)
  }

  package func scratchFile() throws(StoreError) -> any File { ScratchMemoryFile(owner: owner) }

  package func room(in directory: String) -> DiskRoom? { disk.room }

  package var scratchDiskBytes: Int64? { nil }

  // MARK: Names

  package func list(_ directory: String, where isWanted: (String) -> Bool)
    throws(StoreError) -> [String]
  {
    try listing(directory).filter(isWanted)
  }

  private func listing(_ directory: String) throws(StoreError) -> [String] {
    let fate = fate(.list, directory)
    guard case .torn(let salt) = fate else { return try names(directory, fate) }
    let first = try names(directory, .done)
    let last = try names(directory, self.fate(.listOn, directory))
    let constant = Set(first).intersection(last)
    return Set(first).union(last).sorted().filter {
      constant.contains($0) || $0.utf8.reduce(salt) { $0 &* 31 &+ Int($1) } & 4 != 0
    }
  }

  private func names(_ directory: String, _ fate: FileFate) throws(StoreError) -> [String] {
    try operate(directory, fate) { state, place, now_ns -> Result<[String], StoreError> in
      let path = place.name.isEmpty ? place.directory : directory
      guard let names = state.directories[path]?.list() else {
        return .failure(.posix(state.find(place) == nil ? 2 : 20, directory, "list"))
      }
      cache?.listed(path, now_ns, state)
      return .success(names)
    }
  }

  package func link(_ path: String, to newPath: String) throws(StoreError) {
    try operate(.link, newPath, changes: true) { state, place, now_ns -> Result<Void, StoreError> in
      let found = withFile(Place(path), now_ns, state) { state.isThere($0) ? $0 : nil }
      guard let inode = found else { return .failure(.posix(2, path, "link")) }
      guard hasParent(place, state) else { return .failure(.posix(2, newPath, "link")) }
      guard state.find(place) == nil else { return .failure(.posix(17, newPath, "link")) }
      set(place, inode, now_ns, &state)
      return .success(())
    }
  }

  package func unlink(_ path: String) throws(StoreError) {
    try operate(.unlink, path, changes: true) { state, place, now_ns -> Result<Void, StoreError> in
      guard find(place, now_ns, state) != nil, let inode = state.find(place) else {
        return .failure(.posix(2, path, "unlink"))
      }
      guard state.inodes[inode]?.kind != .directory else {
        return .failure(.posix(21, path, "unlink"))
      }
      if let cache {
        let handles = cache.handles(of: inode, at: place, state)
        if !handles.isEmpty {
          cache.renameSilly(inode, at: place, openedBy: handles, &state)
          cache.changed(place, nil, now_ns)
          return .success(())
        }
      }
      set(place, nil, now_ns, &state)
      cache?.expire(inode)
      return .success(())
    }
  }

  /// All files are of one user's.
  package func giveToOwner(_ directory: String) throws(StoreError) {}
  package func proveWritable(_ path: String) throws(StoreError) {}

  package func makeDirectory(_ path: String, mode: UInt32) throws(StoreError) {
    try operate(.makeDirectory, path, changes: true) {
      state, place, now_ns -> Result<Void, StoreError> in
      let now_ms = disk.now_ms(clock)
      guard state.find(place) == nil else { return .failure(.posix(17, path, "mkdir")) }
      guard hasParent(place, state) else { return .failure(.posix(2, path, "mkdir")) }
      _ = make(.directory, at: place, mode, now_ms, now_ns, &state)
      return .success(())
    }
  }

  package func setPermissions(_ path: String, mode: UInt32) throws(StoreError) {
    try operate(.setPermissions, path, changes: true) {
      state, place, now_ns -> Result<Void, StoreError> in
      let found = withFile(place, now_ns, state) { state.isThere($0) ? $0 : nil }
      guard let inode = found else { return .failure(.posix(2, path, "chmod")) }
      state.inodes[inode]?.permissions = mode
      state.inodes[inode]?.changes.add(host?.cache.number ?? 0)
      cache?.expire(inode)
      return .success(())
    }
  }

  /// On NFS the client asks nobody.
  package func syncDirectory(_ path: String) throws(StoreError) {
    guard !network else { return }
    try operate(.syncDirectory, path) { state, place, _ -> Result<Void, StoreError> in
      let path = place.name.isEmpty ? place.directory : path
      guard state.directories[path] != nil else {
        return .failure(.posix(state.find(place) == nil ? 2 : 20, path, "fsync"))
      }
      state.syncDirectory(path)
      return .success(())
    }
  }

  package func status(_ path: String) throws(StoreError) -> FileStatus {
    try operate(.status, path) { state, place, now_ns -> Result<FileStatus, StoreError> in
      let found = withFile(place, now_ns, state) { inode -> FileStatus? in
        if let cache { return cache.status(inode, now_ns, state) }
        return state.inodes[inode].map { FileStatus($0, inode) }
      }
      return found.map { .success($0) } ?? .failure(.posix(2, path, "lstat"))
    }
  }

  package func replaceSymbolicLink(_ path: String, target: String) throws(StoreError) {
    try operate(.replaceSymbolicLink, path, changes: true) {
      state, place, now_ns -> Result<Void, StoreError> in
      let now_ms = disk.now_ms(clock)
      guard hasParent(place, state) else { return .failure(.posix(2, path, "symlink")) }
      if let old = state.find(place), state.inodes[old]?.kind == .directory {
        return .failure(.posix(21, path, "rename"))
      }
      _ = make(.symbolicLink, at: place, 0o777, target: target, now_ms, now_ns, &state)
      return .success(())
    }
  }

  package func readSymbolicLink(_ path: String) throws(StoreError) -> String {
    try operate(.readSymbolicLink, path) { state, place, now_ns -> Result<String, StoreError> in
      let found = withFile(place, now_ns, state) { inode -> String?? in
        if let known = cache?.targets[inode] { return known }
        guard state.isThere(inode), let file = state.inodes[inode] else { return nil }
        guard file.kind == .symbolicLink else { return .some(nil) }
        cache?.targets[inode] = file.target
        return file.target
      }
      switch found {
      case .none: return .failure(.posix(2, path, "readlink"))
      case .some(.none): return .failure(.posix(22, path, "readlink"))
      case .some(.some(let target)): return .success(target)
      }
    }
  }

  package func isNetwork(_ path: String) throws(StoreError) -> Bool { network }
}

extension StoreError {
  /// What a repeated request is answered with, and not that nobody is there any more to be answered.
  fileprivate var isAnswer: Bool { errno == 17 || errno == 2 }
}
