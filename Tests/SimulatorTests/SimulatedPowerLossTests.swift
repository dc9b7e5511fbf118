import SluiceFakes
import SluiceShared
import Testing

@Suite("What a loss of power leaves")
struct SimulatedPowerLossTests {
  private static let seeds = 1...60 as ClosedRange<UInt64>
  private let path = Network.path
  private let directory = Network.directory

  /// What was seen after losses of power with many seeds.
  private func outcomes<Outcome: Hashable>(
    kind: MemoryHost.Kind = .network, _ prepare: (Network) throws -> any File,
    after: (Network, any File) throws -> Outcome
  ) throws -> Set<Outcome> {
    var outcomes: Set<Outcome> = []
    for seed in Self.seeds {
      let network = Network(seed: seed, kind: kind)
      let file = try prepare(network)
      var random = SeededRandom(seed: seed)
      network.disk.losePower(&random)
      outcomes.insert(try after(network, file))
    }
    return outcomes
  }

  private func durable(_ network: Network, _ content: [UInt8]) throws -> any File {
    let file = try network.mine.create(path, mode: 0o644)
    try file.write(content, at: 0)
    try file.sync()
    try network.mine.syncDirectory(directory)
    return file
  }

  @Test("What was synced, in a directory that was synced, is there", arguments: [true, false])
  func synced(isNetwork: Bool) throws {
    let outcomes = try outcomes(kind: isNetwork ? .network : .local) {
      let file = try durable($0, block(1))
      #expect(runs($0.disk.stableContent(path)) == blocks(1))
      return file
    } after: { network, _ in
      network.disk.content(path)
    }
    #expect(outcomes == [block(1)])
  }

  @Test("A name may be lost that others saw before its maker had an answer")
  func unanswered() throws {
    var outcomes: Set<Bool> = []
    for seed in Self.seeds {
      let network = Network(
        seed: seed,
        hook: { $0.action == .link ? .doneButFails(.posix(5, $0.path, "the process died")) : .done }
      )
      try network.mine.put(block(1), at: "/s/temporary")
      #expect(errno { try network.mine.link("/s/temporary", to: path) } == 5)
      #expect(try network.theirs.content(.shared) == block(1))
      var random = SeededRandom(seed: seed)
      network.disk.losePower(&random)
      outcomes.insert(network.disk.content(path) != nil)
    }
    #expect(outcomes == [true, false])
  }

  @Test("What landed and was not synced may be lost block by block, or torn")
  func unsyncedContent() throws {
    let outcomes = try outcomes {
      let file = try durable($0, block(1) + block(1))
      try file.write(block(2) + block(3), at: 0)
      var random = SeededRandom(seed: 1)
      while $0.disk.hasAfloat { $0.disk.drift(&random) }
      #expect(runs($0.disk.content(path)) == blocks(2, 3))
      #expect(runs($0.disk.stableContent(path)) == blocks(1, 1))
      return file
    } after: { network, _ in
      network.disk.content(path) ?? []
    }
    #expect(
      outcomes.isSuperset(of: [
        block(1) + block(1), block(2) + block(1), block(1) + block(3), block(2) + block(3),
      ]))
    let torn = outcomes.filter { Set($0[..<4096]).count > 1 || Set($0[4096...]).count > 1 }
    #expect(!torn.isEmpty)
    #expect(outcomes.allSatisfy { $0.count == 8192 && !$0.contains(0) })
  }

  @Test("A living client sends again at its sync what the server had lost")
  func sentAgain() throws {
    var vanished = 0
    for seed in Self.seeds {
      let network = Network(seed: seed)
      let file = try durable(network, block(1))
      try file.resize(to: 8192)
      try file.write(block(2), at: 0)
      var random = SeededRandom(seed: seed)
      if seed % 2 == 0 { network.disk.drift(&random) }
      network.disk.losePower(&random)
      if network.disk.content(path) == block(1) { vanished += 1 }
      #expect(try runs(network.neighbour().content(.fixed)) == blocks(2, 0))
      try file.sync()
      #expect(runs(network.disk.content(path)) == blocks(2, 0))
      network.disk.losePower(&random)
      #expect(runs(network.disk.content(path)) == blocks(2, 0))
    }
    #expect(vanished > 5)
  }

  @Test("What a dead client had not synced is gone, or was there already")
  func deadClient() throws {
    let outcomes = try outcomes {
      let file = try durable($0, block(1))
      try file.write(block(2), at: 0)
      $0.hosts[0].die()
      return file
    } after: { network, _ in
      #expect(!network.disk.hasAfloat)
      return runs(network.disk.content(path))
    }
    #expect(outcomes == [blocks(1)])
  }

  @Test("Another's sync makes only durable what it wrote itself; on a local disk the whole file")
  func othersSync() throws {
    for kind in [MemoryHost.Kind.network, .local] {
      let network = Network(kind: kind)
      let file = try durable(network, block(1) + block(1))
      try file.write(block(2), at: 0)
      let other = kind == .local ? network.neighbour() : network.theirs
      _ = try file.read(1, at: 0)
      let theirs = try other.open(path, .write)
      try theirs.write(block(3), at: 4096)
      try theirs.sync()
      #expect(
        runs(network.disk.stableContent(path)) == blocks(kind == .local ? 2 : 1, 3))
    }
  }

  @Test("A size is durable after the file's sync")
  func size() throws {
    let sizes = try outcomes {
      let file = try durable($0, block(1))
      try file.resize(to: 1 << 16)
      return file
    } after: { network, _ in
      network.disk.content(path)?.count
    }
    #expect(sizes == [4096, 1 << 16])
    let synced = try outcomes {
      let file = try durable($0, block(1))
      try file.resize(to: 100)
      try file.resize(to: 1 << 16)
      try file.sync()
      return file
    } after: { network, _ in
      network.disk.content(path)?.count { $0 == 1 }
    }
    #expect(synced == [100])
    let cut = try outcomes {
      let file = try durable($0, block(1) + block(1))
      try file.resize(to: 100)
      return file
    } after: { network, _ in
      network.disk.content(path)
    }
    #expect(cut == [block(1) + block(1), Array(block(1)[..<100])])
  }

  @Test("A name that was not synced may vanish, and with it the file: its handle is stale")
  func unsyncedName() throws {
    let outcomes = try outcomes(kind: .local) {
      let file = try $0.mine.create(path, mode: 0o644)
      try file.write(block(1), at: 0)
      try file.sync()
      #expect($0.disk.stableContent(path) == nil)
      return file
    } after: { network, file in
      let isThere = network.disk.paths.contains(path)
      #expect(errno { _ = try file.read(1, at: 0) } == (isThere ? nil : 116))
      #expect(errno { try file.sync() } == (isThere ? nil : 116))
      if isThere { #expect(runs(network.disk.content(path)) == blocks(1)) }
      return isThere
    }
    #expect(outcomes == [true, false])
  }

  @Test("On NFS a name is durable when its maker has the answer, and so is its removal")
  func namesOnNFS() throws {
    let made = try outcomes {
      try $0.mine.create(path, mode: 0o644)
    } after: { network, _ in
      network.disk.paths.contains(path)
    }
    #expect(made == [true])
    let removed = try outcomes {
      let file = try $0.mine.create(path, mode: 0o644)
      try $0.theirs.unlink(path)
      return file
    } after: { network, _ in
      network.disk.paths.contains(path)
    }
    #expect(removed == [false])
  }

  @Test("A name is durable once anybody synced its directory")
  func syncedName() throws {
    let outcomes = try outcomes(kind: .local) {
      let file = try $0.mine.create(path, mode: 0o644)
      try $0.theirs.syncDirectory(directory)
      return file
    } after: { network, _ in
      network.disk.paths.contains(path)
    }
    #expect(outcomes == [true])
  }

  @Test("A removed file may come back, with its content; not after the directory was synced")
  func removal() throws {
    for syncs in [false, true] {
      let outcomes = try outcomes(kind: .local) {
        let file = try durable($0, block(1))
        try $0.theirs.unlink(path)
        if syncs { try $0.theirs.syncDirectory(directory) }
        return file
      } after: { network, file in
        let isThere = network.disk.paths.contains(path)
        if isThere {
          #expect(runs(network.disk.content(path)) == blocks(1))
          let read = try file.read(4096, at: 0)
          #expect(runs(read) == blocks(1))
        } else {
          #expect(errno { _ = try file.read(1, at: 0) } == 116)
        }
        return isThere
      }
      #expect(outcomes == (syncs ? [false] : [true, false]))
    }
  }

  @Test("It may come back also where nobody has it open")
  func removalOfAClosedFile() throws {
    let outcomes = try outcomes(kind: .local) {
      let file = try durable($0, block(1))
      try $0.theirs.unlink(path)
      // Closed when it has no name.
      withExtendedLifetime(file) {}
      return try $0.mine.scratchFile()
    } after: { network, _ in
      runs(network.disk.content(path))
    }
    #expect(outcomes == ["none", blocks(1)])
  }

  @Test("Of a directory's unsynced changes the last ones are undone, in order")
  func order() throws {
    let outcomes = try outcomes(kind: .local) {
      let file = try durable($0, block(1))
      try $0.mine.link(path, to: "/s/a")
      try $0.mine.link(path, to: "/s/b")
      try $0.theirs.unlink(path)
      try $0.theirs.replaceSymbolicLink("/s/current", target: "b")
      return file
    } after: { network, _ in
      network.disk.paths.filter { $0 != directory }
    }
    #expect(
      outcomes == [
        ["/s/file"], ["/s/a", "/s/file"], ["/s/a", "/s/b", "/s/file"], ["/s/a", "/s/b"],
        ["/s/a", "/s/b", "/s/current"],
      ])
  }

  @Test("A rename is there whole or not at all")
  func renames() throws {
    let silly = try outcomes {
      let file = try durable($0, block(1))
      try $0.mine.unlink(path)
      return file
    } after: { network, _ in
      try network.theirs.list(directory).map { String($0.prefix(4)) }
    }
    #expect(silly == [[".nfs"]])
    let links = try outcomes(kind: .local) {
      let file = try durable($0, block(1))
      try $0.mine.replaceSymbolicLink("/s/current", target: "1")
      try $0.mine.syncDirectory(directory)
      try $0.mine.replaceSymbolicLink("/s/current", target: "2")
      return file
    } after: { network, _ in
      _ = try network.theirs.list(directory)
      return try network.theirs.readSymbolicLink("/s/current")
    }
    #expect(links == ["1", "2"])
  }

  @Test("A directory that was not synced in its parent may vanish with all that is in it")
  func directories() throws {
    let outcomes = try outcomes(kind: .local) {
      try $0.mine.makeDirectory("/s/inner", mode: 0o755)
      try $0.mine.makeDirectory("/s/inner/most", mode: 0o755)
      try $0.mine.syncDirectory("/s/inner")
      let file = try $0.mine.create("/s/inner/most/file", mode: 0o644)
      try $0.mine.syncDirectory("/s/inner/most")
      return file
    } after: { network, _ in
      _ = try network.mine.list("/")
      if network.disk.paths.count == 1 {
        #expect(errno { _ = try network.mine.list("/s/inner") } == 2)
      }
      return network.disk.paths.count
    }
    #expect(outcomes == [1, 4])
  }

  @Test("A copy has what is stable, and shares nothing that changes")
  func copies() throws {
    let network = Network(kind: .local)
    let file = try durable(network, block(1))
    try file.write(block(2), at: 0)
    try network.mine.put([3], at: "/s/unsynced")
    let copy = network.disk.copy()
    #expect(copy.paths == ["/s", path])
    #expect(runs(copy.content(path)) == blocks(1))
    try MemoryFileSystem(copy).change(block(4))
    try file.sync()
    #expect(runs(copy.content(path)) == blocks(4))
    #expect(runs(network.disk.content(path)) == blocks(2))
    network.disk.settle()
    #expect(network.disk.copy().paths == ["/s", path, "/s/unsynced"])
    #expect(network.disk.copy().inode(of: path) == network.disk.inode(of: path))
  }
}
