package import SluiceShared

/// What a file server holds: names, files with their blocks, and what of them is durable.
///
/// Shared by the `MemoryFileSystem`s of all the processes that mount it. What was written lands at
/// once, or late, or in pieces; what landed others can see; what was synced no loss of power takes.
package final class MemoryDisk: Sendable {
  private let clock: (any Clock)?
  let state: Monitor<State>

  /// `clock`: the server's, from which times of modification come; without it they come from the
  /// process that writes.
  package init(clock: (any Clock)? = nil) {
    self.clock = clock
    state = Monitor(State())
  }

  private init(_ stable: sending State, clock: (any Clock)?) {
    self.clock = clock
    state = Monitor(stable)
  }

  /// A disk of its own that holds everything that is stable here; neither sees the other change.
  package func copy(clock: (any Clock)? = nil) -> MemoryDisk {
    state.withLock {
      MemoryDisk($0.stable(), clock: clock ?? self.clock)
    }
  }

  /// What it says of its room, whatever it holds; nil: nothing.
  package var room: DiskRoom? {
    get { state.withLock { $0.room } }
    set { state.withLock { $0.room = newValue } }
  }

  func perform<R>(_ body: (inout State) -> Result<R, StoreError>) throws(StoreError) -> R {
    try state.withLock { body(&$0) }.get()
  }

  /// The server's time, or that of the process that writes.
  func now_ms(_ writer: any Clock) -> Int64 { clock?.wallTime_ms() ?? writer.wallTime_ms() }

  // MARK: What happens to it

  /// Lands one of the pieces on their way, or loses it where nobody waits for it.
  package func drift(_ random: inout SeededRandom) {
    let now_ms = clock?.wallTime_ms()
    state.withLock { $0.drift(&random, now_ms: now_ms) }
  }

  /// The client died: its files are closed, nobody waits for its writes, each may land or not.
  package func abandon(client: UInt64) {
    state.withLock { $0.abandon(client: client) }
  }

  /// The server loses its power and starts again with what is on its disk. What was not synced is
  /// lost, in whole or in part, and of each directory's unsynced changes the last ones. Clients that
  /// are alive keep their open files, and send again at their next sync what they wrote.
  package func losePower(_ random: inout SeededRandom) {
    state.withLock { $0.losePower(&random) }
  }

  /// Everything lands and is durable, as after a clean shutdown of all.
  package func settle() {
    let now_ms = clock?.wallTime_ms()
    state.withLock { $0.settle(now_ms: now_ms) }
  }

  /// Changes bytes behind everybody's back.
  package func damage(_ path: String, at offset: Int64, _ change: (inout UInt8) -> Void) {
    state.withLock { state in
      guard let inode = state.find(Place(path)) else { return }
      state.inodes[inode]?.content.damage(at: offset, change)
    }
  }

  // MARK: What it holds

  /// Whether writes are on their way.
  package var hasAfloat: Bool { state.withLock { !$0.late.isEmpty } }

  /// All names, sorted.
  package var paths: [String] {
    state.withLock { state in
      state.directories.flatMap { path, directory in directory.names.keys.map { "\(path)/\($0)" } }
    }.sorted()
  }

  /// The file that `path` names at the server.
  package func inode(of path: String) -> UInt64? { state.withLock { $0.find(Place(path)) } }

  /// What a symbolic link points to; nil where there is none of that name.
  package func target(of path: String) -> String? {
    state.withLock { state in
      state.find(Place(path)).flatMap { state.inodes[$0] }
        .flatMap { $0.kind == .symbolicLink ? $0.target : nil }
    }
  }

  /// The whole content of a file, as it has landed; nil where there is no such name.
  package func content(_ path: String) -> [UInt8]? {
    state.withLock { state in
      state.find(Place(path)).flatMap { state.inodes[$0]?.content.bytes }
    }
  }

  /// The names in a directory, sorted.
  package func names(in directory: String) -> [String] {
    state.withLock { ($0.directories[directory]?.names.keys).map(Array.init) ?? [] }.sorted()
  }

  /// A file's block of 4 KiB, as it has landed; nil where nothing was written, or there is no such file.
  package func block(_ path: String, _ number: Int) -> [UInt8]? {
    state.withLock { state in
      state.find(Place(path)).flatMap { state.inodes[$0]?.content.blocks[number] }
    }
  }

  /// A file's length; nil where there is no such name.
  package func size(_ path: String) -> Int64? {
    state.withLock { state in
      state.find(Place(path)).flatMap { state.inodes[$0]?.content.size }
    }
  }

  /// The whole content of the file that `path` names, as far as it is certain to survive a loss of
  /// power; nil where there is no such name, or where it may not survive.
  package func stableContent(_ path: String) -> [UInt8]? {
    let place = Place(path)
    return state.withLock { state in
      guard let inode = state.directories[place.directory]?.stable().names[place.name],
        inode == state.find(place)
      else { return nil }
      return state.inodes[inode]?.content.stable().bytes
    }
  }

  /// Whether a file's name is certain to survive a loss of power.
  package func isStable(_ path: String) -> Bool {
    let place = Place(path)
    return state.withLock { state in
      guard let inode = state.directories[place.directory]?.stable().names[place.name],
        inode == state.find(place)
      else { return false }
      return state.inodes[inode] != nil
    }
  }

  /// What was tried through read-only mounts: how often, and the first path.
  package var forbiddenWrites: (count: Int, first: String?) {
    state.withLock { ($0.forbiddenWrites, $0.firstForbidden) }
  }
}
