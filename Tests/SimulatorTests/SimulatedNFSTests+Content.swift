import SluiceFakes
import SluiceShared
import Testing

/// What is read of a file that others write.
extension SimulatedNFSTests {
  // MARK: Content

  @Test("What was written and synced elsewhere is read by a fresh open at once")
  func freshOpen() throws {
    let network = Network()
    try network.theirs.put([1, 2])
    #expect(try network.mine.content(.fixed) == [1, 2])
    try network.theirs.change([3, 4, 5])
    #expect(try network.mine.content(.fixed) == [3, 4, 5])
  }

  @Test("It is read by a kept O_DIRECT descriptor at once")
  func keptDirect() throws {
    let network = Network()
    try network.theirs.put([1])
    let kept = try network.mine.open(path, .shared)
    #expect(try kept.read(9, at: 0) == [1])
    try network.theirs.change([3, 4])
    #expect(try kept.read(9, at: 0) == [3, 4])
  }

  @Test("It is read by a kept plain descriptor after 2.5 to 23 s")
  func keptPlain() throws {
    let seconds = try Network.seconds { network in
      try network.theirs.put([1])
      let kept = try network.mine.open(path, .fixed)
      #expect(try kept.read(9, at: 0) == [1])
      try network.theirs.change([3, 4])
      return { try kept.read(9, at: 0) == [3, 4] }
    }
    #expect(seconds.allSatisfy { (2.5...23.1).contains($0) })
    #expect(Set(seconds).count > 20)
  }

  @Test("The size that fstat and lstat give is old for 2.5 to 23 s")
  func attributes() throws {
    for byName in [false, true] {
      let seconds = try Network.seconds { network in
        try network.theirs.put([1])
        let kept = try network.mine.open(path, .shared)
        try network.theirs.change([3, 4])
        return {
          try (byName ? network.mine.status(path) : kept.status()).size == 2
        }
      }
      #expect(seconds.allSatisfy { (2.5...23.1).contains($0) })
    }
  }

  @Test("It is never read by a fresh plain open while a process here has the file open for writing")
  func openForWritingHere() throws {
    let network = Network()
    try network.theirs.put(block(1))
    let writer = try network.mine.open(path, .write)
    #expect(try runs(network.neighbour().content(.fixed)) == blocks(1))
    try network.theirs.change(block(2))
    for _ in 0..<60 {
      #expect(try runs(network.neighbour().content(.fixed)) == blocks(1))
      network.clock.advance(by: .seconds(5))
    }
    #expect(try runs(network.neighbour().content(.shared)) == blocks(2))
    #expect(try runs(writer.read(4096, at: 0)) == blocks(2))
    withExtendedLifetime(writer) {}
  }

  @Test("Nor does a fresh open see at once that it grew")
  func grownElsewhere() throws {
    let seconds = try Network.seconds { network in
      try network.theirs.put(block(1))
      let writer = try network.mine.open(path, .write)
      try network.theirs.change(block(2) + block(2))
      return {
        try withExtendedLifetime(writer) {
          try network.neighbour().content(.fixed).count == 8192
        }
      }
    }
    #expect(seconds.allSatisfy { (2.5...23.1).contains($0) })
  }

  @Test("Who asks the server is told date and size all the same")
  func asked() throws {
    let network = Network()
    try network.theirs.put([1])
    let writer = try network.mine.open(path, .write)
    let old = try writer.status()
    network.clock.advance(by: .seconds(1))
    try network.theirs.change([3, 4])
    let opened = try network.neighbour().open(path, .shared)
    #expect(try opened.status().modified_ms == old.modified_ms)
    #expect(try opened.freshStatus().modified_ms == old.modified_ms + 1000)
    #expect(try opened.freshStatus().size == 2)
    withExtendedLifetime(writer) {}
  }

  @Test("It is read once that process has closed the file")
  func closedHere() throws {
    let network = Network()
    try network.theirs.put(block(1))
    do {
      let writer = try network.mine.open(path, .write)
      #expect(try runs(network.mine.content(.fixed)) == blocks(1))
      try network.theirs.change(block(2))
      #expect(try runs(network.mine.content(.fixed)) == blocks(1))
      withExtendedLifetime(writer) {}
    }
    #expect(try runs(network.mine.content(.fixed)) == blocks(2))
  }

  @Test("What was written and not synced is seen on its own machine, elsewhere when it lands")
  func unsynced() throws {
    let network = Network()
    let writer = try network.mine.create(path, mode: 0o644)
    try writer.write(block(7) + block(8), at: 0)
    #expect(try runs(network.neighbour().content(.fixed)) == blocks(7, 8))
    #expect(runs(try network.theirs.content(.shared)) == "")
    #expect(network.disk.hasAfloat)
    var random = SeededRandom(seed: 5)
    network.disk.drift(&random)
    let landed = runs(try network.theirs.content(.shared))
    #expect([blocks(7), blocks(0, 8)].contains(landed))
    network.disk.drift(&random)
    #expect(!network.disk.hasAfloat)
    #expect(try runs(network.theirs.content(.shared)) == blocks(7, 8))
  }

  @Test("A read past the cache sends first what this machine has to send")
  func readBack() throws {
    for own in [false, true] {
      let network = Network()
      let writer = try network.mine.create(path, mode: 0o644)
      try writer.write([1, 2, 3], at: 4094)
      let reader = own ? writer : try network.neighbour().open(path, .shared)
      #expect(try reader.read(9, at: 4094) == [1, 2, 3])
      #expect(network.disk.content(path)?.suffix(4) == [0, 1, 2, 3])
    }
  }

  @Test("The loser of O_EXCL may read an empty file, the loser of link reads a whole one")
  func losers() throws {
    let network = Network()
    let winner = try network.theirs.create(path, mode: 0o644)
    try winner.write([1, 2], at: 0)
    #expect(errno { _ = try network.mine.create(path, mode: 0o600) } == 17)
    #expect(try network.mine.content(.shared) == [])

    try winner.sync()
    try network.theirs.link(path, to: "/s/claim")
    try network.mine.put([9], at: "/s/mine")
    #expect(errno { try network.mine.link("/s/mine", to: "/s/claim") } == 17)
    #expect(try network.mine.content(.shared, at: "/s/claim") == [1, 2])
  }

  @Test("A write becomes visible in pieces; a read may have an old half and a new one")
  func pieces() throws {
    let count = 64 << 10
    let changes = Monitor<(any File)?>(nil)
    let network = Network { operation in
      if operation.action == .read { return .torn(pieceBytes: 0) }
      if operation.action == .readOn {
        _ = changes.withLock { file in
          errno {
            try file?.write([UInt8](repeating: 2, count: count), at: 0)
            try file?.sync()
          }
        }
      }
      return .done
    }
    try network.theirs.put([UInt8](repeating: 1, count: count))
    let writer = try network.theirs.open(path, .write)
    changes.withLock { $0 = writer }
    let read = try network.mine.open(path, .shared).read(count, at: 0)
    #expect(runs(read) == "1×32768 2×32768")

    try writer.write([UInt8](repeating: 3, count: count), at: 0)
    var random = SeededRandom(seed: 8)
    for _ in 0..<8 { network.disk.drift(&random) }
    let here = try network.theirs.open(path, .fixed).read(count, at: 0)
    #expect(runs(here) == "3×65536")
    let landed = network.disk.content(path) ?? []
    #expect(landed.count { $0 == 3 } == 8 * 4096)
  }

  @Test("The handshake holds: of two that write and then read past the cache one sees the other")
  func handshake() throws {
    for seed in 1...50 as ClosedRange<UInt64> {
      let network = Network(seed: seed)
      try network.mine.put(block(0) + block(0))
      let files = [
        try network.mine.open(path, .write), try network.theirs.open(path, .write),
      ]
      var random = SeededRandom(seed: seed)
      var steps = [0, 0]
      var seen = [false, false]
      while steps != [3, 3] {
        let i = random.below(2)
        switch steps[i] {
        case 0: try files[i].write(block(1), at: Int64(i) * 4096)
        case 1: try files[i].sync()
        case 2: seen[i] = try files[i].read(1, at: Int64(1 - i) * 4096) == [1]
        default: continue
        }
        steps[i] += 1
        if random.chance(0.2) { network.disk.drift(&random) }
      }
      #expect(seen[0] || seen[1])
    }
  }

  @Test("The time of modification is the server's")
  func serverTime() throws {
    let server = ManualClock(wall_ms: 5_000)
    let network = Network(disk: MemoryDisk(clock: server))
    let file = try network.mine.create(path, mode: 0o644)
    #expect(try file.status().modified_ms == 5_000)
    server.setWall(6_000)
    try file.write([1], at: 0)
    try file.sync()
    #expect(try network.theirs.status(path).modified_ms == 6_000)
  }

  @Test("What is written uncached is at the server when the write returns")
  func uncachedWrites() throws {
    for isUncached in [true, false] {
      let network = Network()
      let file =
        try
        (isUncached
        ? network.mine.createUncached(path, mode: 0o644) : network.mine.create(path, mode: 0o644))
      try file.write([1], at: 0)
      #expect((network.disk.content(path) == [1]) == isUncached)
      try file.sync()
      #expect(network.disk.stableContent(path) == [1])
    }
  }

  @Test("A client that was away too long may have lost its opens, until it makes them again")
  func lostOpens() throws {
    let network = Network()
    try network.theirs.put([1])
    let files = try (0..<20).map { _ in try network.mine.open(path, .write) }
    let other = try network.theirs.open(path, .shared)
    var random = SeededRandom(seed: 1)
    network.hosts[0].loseOpens(&random)
    let codes = files.map { file in errno { _ = try file.read(1, at: 0) } }
    #expect(codes.contains(9) && codes.contains(nil))
    #expect(
      zip(files, codes).allSatisfy { file, code in
        errno { try file.write([2], at: 0) } == code
      })
    #expect(errno { _ = try other.read(1, at: 0) } == nil)
    #expect(errno { _ = try network.mine.open(path, .shared).read(1, at: 0) } == nil)
  }

  @Test("A local disk is never stale, and unsynced data is read by others at once")
  func local() throws {
    let network = Network(kind: .local) { operation in
      operation.action == .write ? .torn(pieceBytes: 512) : .done
    }
    let other = network.neighbour()
    #expect(!other.has(path))
    let writer = try network.mine.create(path, mode: 0o644)
    #expect(other.has(path))
    let kept = try other.open(path, .fixed)
    try writer.write([1, 2, 3], at: 0)
    #expect(try kept.read(9, at: 0) == [1, 2, 3])
    #expect(try kept.status().size == 3)
    try other.unlink(path)
    #expect(try other.list(directory) == [])
    try writer.write([4], at: 0)
    #expect(try kept.read(9, at: 0) == [4, 2, 3])
    #expect(try kept.status().links == 0)
    #expect(try !other.isNetwork(path))
  }
}
