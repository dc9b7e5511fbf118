import SluiceFakes
import SluiceShared
import Testing

@Suite("Every operation can fail, before or after it is done")
struct SimulatedFaultTests {
  private static let path = Network.path

  /// One operation, and whether it was done.
  struct Case: Sendable {
    var action: FileOperation.Action
    var run: @Sendable (MemoryFileSystem, any File) throws -> Void
    var isDone: @Sendable (MemoryDisk) -> Bool
  }

  static let cases = [
    Case(action: .create) { fileSystem, _ in
      _ = try fileSystem.create("/s/new", mode: 0o600)
    } isDone: {
      $0.paths.contains("/s/new")
    },
    Case(action: .link) { fileSystem, _ in
      try fileSystem.link(path, to: "/s/new")
    } isDone: {
      $0.paths.contains("/s/new")
    },
    Case(action: .unlink) { fileSystem, _ in
      try fileSystem.unlink("/s/old")
    } isDone: {
      !$0.paths.contains("/s/old")
    },
    Case(action: .makeDirectory) { fileSystem, _ in
      try fileSystem.makeDirectory("/s/new", mode: 0o755)
    } isDone: {
      $0.paths.contains("/s/new")
    },
    Case(action: .replaceSymbolicLink) { fileSystem, _ in
      try fileSystem.replaceSymbolicLink("/s/new", target: "x")
    } isDone: {
      $0.paths.contains("/s/new")
    },
    Case(action: .setPermissions) { fileSystem, _ in
      try fileSystem.setPermissions(path, mode: 0o444)
    } isDone: {
      (try? MemoryFileSystem($0).status(path).permissions) == 0o444
    },
    Case(action: .syncDirectory) { fileSystem, _ in
      try fileSystem.syncDirectory("/s")
    } isDone: {
      $0.stableContent("/s/old") != nil
    },
    Case(action: .resize) { _, file in
      try file.resize(to: 9)
    } isDone: {
      $0.content(path)?.count == 9
    },
    Case(action: .write) { _, file in
      try file.write([2], at: 0)
    } isDone: {
      $0.content(path)?.first == 2
    },
    Case(action: .sync) { _, file in
      try file.sync()
    } isDone: {
      $0.stableContent(path)?.last == 7
    },
  ]

  static let reads:
    [(FileOperation.Action, @Sendable (MemoryFileSystem, any File) throws -> Void)] =
      [
        (.open, { fileSystem, _ in _ = try fileSystem.open(path, .shared) }),
        (.list, { fileSystem, _ in _ = try fileSystem.list("/s") }),
        (.status, { fileSystem, _ in _ = try fileSystem.status(path) }),
        (.status, { _, file in _ = try file.status() }),
        (.read, { _, file in _ = try file.read(1, at: 0) }),
        (.readSymbolicLink, { fileSystem, _ in _ = try fileSystem.readSymbolicLink("/s/link") }),
      ]

  /// A file with a synced name, a landed last byte that is not synced, and a name that is not.
  private func prepare(
    _ action: FileOperation.Action, _ fate: FileFate
  ) throws -> (Network, any File) {
    let isArmed = Monitor(false)
    // On NFS nobody is asked to sync a directory.
    let network = Network(kind: action == .syncDirectory ? .local : .network) { operation in
      operation.action == action && isArmed.withLock { $0 } ? fate : .done
    }
    try network.mine.put([1, 1])
    try network.mine.syncDirectory("/s")
    try network.mine.put([1], at: "/s/old")
    try network.mine.replaceSymbolicLink("/s/link", target: "x")
    let file = try network.mine.open(Self.path, .write)
    try file.write([7], at: 1)
    _ = try file.read(1, at: 0)
    isArmed.withLock { $0 = true }
    return (network, file)
  }

  @Test("Done", arguments: cases.indices)
  func done(_ number: Int) throws {
    let (network, file) = try prepare(Self.cases[number].action, .done)
    #expect(!Self.cases[number].isDone(network.disk))
    try Self.cases[number].run(network.mine, file)
    if Self.cases[number].action == .write { try file.sync() }
    #expect(Self.cases[number].isDone(network.disk))
  }

  @Test("Not done, and an error", arguments: cases.indices)
  func fails(_ number: Int) throws {
    let (network, file) = try prepare(Self.cases[number].action, .fails(.posix(28, "", "full")))
    #expect(errno { try Self.cases[number].run(network.mine, file) } == 28)
    #expect(!Self.cases[number].isDone(network.disk))
  }

  @Test("Done, and an error all the same: a lost reply", arguments: cases.indices)
  func doneButFails(_ number: Int) throws {
    let (network, file) = try prepare(Self.cases[number].action, .doneButFails(.posix(17, "", "")))
    #expect(errno { try Self.cases[number].run(network.mine, file) } == 17)
    #expect(Self.cases[number].isDone(network.disk))
  }

  @Test("After a lost reply the server is asked for the name again")
  func namesAfterALostReply() throws {
    for action in [.create, .link, .makeDirectory, .replaceSymbolicLink]
      as [FileOperation.Action]
    {
      let (network, file) = try prepare(action, .doneButFails(.posix(5, "", "")))
      #expect(!network.mine.has("/s/new"))
      let attempt = try #require(Self.cases.first { $0.action == action })
      #expect(errno { try attempt.run(network.mine, file) } == 5)
      #expect(network.mine.has("/s/new"))
    }
    let (network, _) = try prepare(.unlink, .doneButFails(.posix(2, "", "")))
    #expect(errno { try network.mine.unlink("/s/old") } == 2)
    try network.theirs.put([2], at: "/s/old")
    #expect(network.mine.has("/s/old"))
  }

  @Test("Reading fails when the hook says so", arguments: reads.indices)
  func failingReads(_ number: Int) throws {
    for fate in [.fails(.posix(5, "", "")), .doneButFails(.posix(5, "", ""))] as [FileFate] {
      let (network, file) = try prepare(Self.reads[number].0, fate)
      #expect(errno { try Self.reads[number].1(network.mine, file) } == 5)
    }
    let (network, file) = try prepare(Self.reads[number].0, .done)
    try Self.reads[number].1(network.mine, file)
  }

  @Test("Any pieces of a failed write may land at any later time")
  func tornFailure() throws {
    var outcomes: Set<String> = []
    for seed in 1...40 as ClosedRange<UInt64> {
      let (network, file) = try prepare(
        .write, .failsTorn(pieceBytes: 4096, .posix(5, "", "")))
      #expect(errno { try file.write(block(2) + block(3), at: 0) } == 5)
      #expect(network.disk.content(Self.path) == [1, 7])
      try file.sync()
      #expect(network.disk.hasAfloat)
      var random = SeededRandom(seed: seed)
      while network.disk.hasAfloat { network.disk.drift(&random) }
      let landed = runs(network.disk.content(Self.path))
      outcomes.insert(landed)
      // The machine's cache does not keep what did not get to the server.
      #expect(runs(try network.mine.content(.fixed)) == landed)
    }
    #expect(outcomes.count == 4)
  }

  @Test("After a failed write processes here see what was written before and is still to be sent")
  func unsentBesideAFailedWrite() throws {
    let fails = Monitor(false)
    let network = Network { operation in
      operation.action == .write && fails.withLock { $0 }
        ? .failsTorn(pieceBytes: 4096, .posix(5, "", "")) : .done
    }
    let file = try network.mine.create(Self.path, mode: 0o644)
    try file.write(block(1), at: 0)
    fails.withLock { $0 = true }
    #expect(errno { try file.write(block(2), at: 4096) } == 5)
    #expect(runs(try network.neighbour().content(.fixed)) == blocks(1))
    #expect(runs(network.disk.content(Self.path)) == "")
    fails.withLock { $0 = false }
    try file.write(block(3), at: 8192)
    #expect(runs(try network.neighbour().content(.fixed)) == blocks(1, 0, 3))
  }

  @Test("What was to be synced and was not may land or not; a later sync does not make up for it")
  func failedSync() throws {
    for kind in [MemoryHost.Kind.network, .local] {
      let fails = Monitor(false)
      let network = Network(kind: kind) { operation in
        operation.action == .sync && fails.withLock { $0 } ? .fails(.posix(5, "", "")) : .done
      }
      let file = try network.mine.create(Self.path, mode: 0o644)
      try file.write(block(1), at: 0)
      try file.sync()
      try network.mine.syncDirectory("/s")
      try file.write(block(2), at: 0)
      _ = try file.read(1, at: 0)
      fails.withLock { $0 = true }
      #expect(errno { try file.sync() } == 5)
      fails.withLock { $0 = false }
      try file.sync()
      #expect(runs(network.disk.stableContent(Self.path)) == blocks(1))
      try file.write(block(3), at: 0)
      try file.sync()
      #expect(runs(network.disk.stableContent(Self.path)) == blocks(3))
    }
  }

  @Test("A read-only mount reads, and what changes anything fails with EROFS and is counted")
  func readOnly() throws {
    let network = Network()
    try network.mine.put([1])
    let reader = network.neighbour(isReadOnly: true)
    #expect(try reader.content(.shared) == [1])
    #expect(try reader.content(.fixed) == [1])
    #expect(try reader.list("/s") == ["file"])
    #expect(try reader.status(Self.path).size == 1)
    try reader.scratchFile().write([1], at: 0)
    #expect(network.disk.forbiddenWrites.count == 0)
    let attempts: [() throws -> Void] = [
      { _ = try reader.open(Self.path, .write) },
      { _ = try reader.create("/s/new", mode: 0o600) },
      { try reader.link(Self.path, to: "/s/new") },
      { try reader.unlink(Self.path) },
      { try reader.makeDirectory("/s/new", mode: 0o755) },
      { try reader.setPermissions(Self.path, mode: 0) },
      { try reader.replaceSymbolicLink("/s/new", target: "x") },
    ]
    for (i, attempt) in attempts.enumerated() {
      #expect(errno(attempt) == 30)
      #expect(network.disk.forbiddenWrites.count == i + 1)
    }
    #expect(network.disk.forbiddenWrites.first == Self.path)
    #expect(network.disk.paths == ["/s", Self.path])
  }

  @Test("The hook may use the disk: no lock is held while it is called")
  func hookWithoutLock() throws {
    let disk = MemoryDisk()
    let network = Network(disk: disk) { _ in
      _ = disk.paths
      return .done
    }
    try network.mine.put([1])
    #expect(try network.mine.content(.shared) == [1])
  }
}
