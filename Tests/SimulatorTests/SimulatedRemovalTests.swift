import SluiceFakes
import SluiceShared
import Testing

@Suite("Files that are removed while they are open, and hosts that die")
struct SimulatedRemovalTests {
  private let path = Network.path
  private let directory = Network.directory

  @Test("A file removed elsewhere still has one link for up to 23 s")
  func linksAreOld() throws {
    let seconds = try Network.seconds { network in
      try network.theirs.put([1])
      _ = try network.mine.list(directory)
      _ = try network.mine.open(path, .shared)
      #expect(try network.mine.status(path).links == 1)
      try network.theirs.unlink(path)
      return {
        (try? network.mine.status(path).links).map { links in
          #expect(links == 1)
          return false
        } ?? true
      }
    }
    #expect(seconds.allSatisfy { $0 <= 30.1 })
    #expect(seconds.contains { $0 > 2.5 })
  }

  @Test("Writing to a file that was removed elsewhere succeeds, for ever or for up to 10 s")
  func writingToARemovedFile() throws {
    var stale: [Double] = []
    var harmless = 0
    for seed in 1...60 as ClosedRange<UInt64> {
      let network = Network(seed: seed)
      try network.mine.put(block(1))
      let file = try network.mine.open(path, .write)
      try network.theirs.unlink(path)
      let seconds = network.seconds(atMost: 12) {
        let code = errno {
          try file.write(block(2), at: 0)
          try file.sync()
          #expect(try file.status().links == 1)
          #expect(try runs(file.read(4096, at: 0)) == blocks(2))
        }
        #expect([nil, 116].contains(code))
        return code == 116
      }
      if let seconds { stale.append(seconds) } else { harmless += 1 }
    }
    #expect(harmless > 15 && stale.count > 15)
    #expect(stale.allSatisfy { $0 <= 10.1 })
    #expect(stale.contains { $0 > 5 })
  }

  @Test("A stale handle stays stale, and what is in the page cache can be read while it is fresh")
  func staleHandles() throws {
    var wasRead = false
    for seed in 1...40 as ClosedRange<UInt64> {
      let network = Network(seed: seed)
      try network.theirs.put(block(1))
      let plain = try network.mine.open(path, .fixed)
      let direct = try network.mine.open(path, .shared)
      #expect(try runs(plain.read(4096, at: 0)) == blocks(1))
      try network.theirs.unlink(path)
      let seconds = network.seconds(atMost: 11) {
        errno { _ = try direct.read(1, at: 0) } == 116
      }
      guard seconds != nil else { continue }
      #expect(errno { _ = try direct.status() } == 116)
      if (try? plain.read(4096, at: 0)) == block(1) { wasRead = true }
      network.clock.advance(by: .seconds(60))
      #expect(errno { _ = try direct.read(1, at: 0) } == 116)
    }
    #expect(wasRead)
  }

  @Test("A file that another name keeps does not become stale")
  func anotherName() throws {
    for seed in 1...20 as ClosedRange<UInt64> {
      let network = Network(seed: seed)
      try network.mine.put([1])
      let file = try network.mine.open(path, .write)
      try network.theirs.link(path, to: "/s/kept")
      try network.theirs.unlink(path)
      network.clock.advance(by: .seconds(60))
      try file.write([2], at: 0)
      try file.sync()
      #expect(try network.theirs.content(.shared, at: "/s/kept") == [2])
    }
  }

  @Test("unlink of a file that is open on the same machine renames it until it is closed")
  func sillyRename() throws {
    let network = Network()
    try network.mine.put([1])
    var first: (any File)? = try network.neighbour().open(path, .shared)
    var second: (any File)? = try network.mine.open(path, .write)
    try network.mine.unlink(path)
    for fileSystem in [network.mine, network.theirs] {
      let names = try fileSystem.list(directory)
      #expect(names.count == 1)
      let name = try #require(names.first)
      #expect(name.hasPrefix(".nfs") && name.count == 20)
      #expect(try fileSystem.status("/s/\(name)").links == 1)
    }
    #expect(!network.mine.has(path))
    #expect(try first?.read(9, at: 0) == [1])
    try second?.write([2], at: 0)
    try second?.sync()
    network.clock.advance(by: .seconds(60))
    #expect(try second?.status().links == 1)
    second = nil
    #expect(try network.theirs.list(directory).count == 1)
    #expect(try first?.read(9, at: 0) == [2])
    first = nil
    #expect(try network.theirs.list(directory) == [])
  }

  @Test("A temporary file that is unlinked while it is open under that name is renamed, too")
  func linkedTemporary() throws {
    let network = Network()
    var file: (any File)? = try network.mine.create("/s/temporary", mode: 0o644)
    try network.mine.link("/s/temporary", to: path)
    try network.mine.unlink("/s/temporary")
    #expect(try network.mine.list(directory).count == 2)
    try file?.write([1], at: 0)
    try file?.sync()
    file = nil
    #expect(try network.mine.list(directory) == ["file"])
    #expect(try network.theirs.content(.shared) == [1])
  }

  @Test("A process that dies closes its files; a host that dies leaves what it had renamed")
  func deaths() throws {
    let network = Network()
    try network.mine.put([1])
    let file = try network.mine.open(path, .shared)
    try network.mine.unlink(path)
    network.disk.abandon(client: 1)
    #expect(try network.theirs.list(directory) == [])
    #expect(errno { _ = try file.read(1, at: 0) } == 5)

    try network.mine.put([1])
    let other = try network.mine.open(path, .shared)
    try network.mine.unlink(path)
    network.hosts[0].die()
    #expect(try network.theirs.list(directory).count == 1)
    #expect(errno { _ = try other.read(1, at: 0) } == 5)
  }

  @Test("A host that comes back has empty caches")
  func comingBack() throws {
    let network = Network()
    #expect(!network.mine.has(path))
    try network.theirs.put([1])
    let file = try network.neighbour().open("/s", .fixed)
    #expect(!network.mine.has(path))
    network.hosts[0].die()
    #expect(network.mine.has(path))
    withExtendedLifetime(file) {}
    try network.theirs.put(block(1), at: "/s/other")
    let writer = try network.mine.open("/s/other", .write)
    #expect(try runs(network.mine.content(.fixed, at: "/s/other")) == blocks(1))
    network.hosts[0].die()
    try network.theirs.change(block(2), at: "/s/other")
    #expect(try runs(network.mine.content(.fixed, at: "/s/other")) == blocks(2))
    withExtendedLifetime(writer) {}
  }

  @Test("What a dead process or host had not sent lands late or never")
  func lateWrites() throws {
    var outcomes: Set<String> = []
    for seed in 1...100 as ClosedRange<UInt64> {
      let network = Network(seed: seed)
      let file = try network.mine.create(path, mode: 0o644)
      try file.write(block(1) + block(2), at: 0)
      if seed % 2 == 0 { network.hosts[0].die() } else { network.disk.abandon(client: 1) }
      #expect(runs(network.disk.content(path)) == "")
      var random = SeededRandom(seed: seed)
      while network.disk.hasAfloat { network.disk.drift(&random) }
      outcomes.insert(runs(network.disk.content(path)))
      withExtendedLifetime(file) {}
    }
    #expect(outcomes == ["", blocks(1), blocks(0, 2), blocks(1, 2)])
  }
}
