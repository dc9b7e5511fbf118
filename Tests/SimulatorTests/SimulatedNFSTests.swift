import SluiceFakes
import SluiceShared
import Testing

@Suite("What another client sees, and when")
struct SimulatedNFSTests {
  let path = Network.path
  let directory = Network.directory

  // MARK: Names

  @Test("A file created, linked or removed elsewhere is listed at once")
  func listing() throws {
    let network = Network()
    #expect(try network.mine.list(directory) == [])
    try network.theirs.put([1])
    try network.theirs.link(path, to: "/s/other")
    #expect(try network.mine.list(directory) == ["file", "other"])
    try network.theirs.unlink(path)
    #expect(try network.mine.list(directory) == ["other"])
  }

  @Test("A name that was missing a moment ago is missing for 20 to 59 s")
  func missingNames() throws {
    let asks: [(MemoryFileSystem) throws -> Void] = [
      { _ = try $0.open(Network.path, .shared) }, { _ = try $0.status(Network.path) },
    ]
    for ask in asks {
      let seconds = try Network.seconds { network in
        #expect(errno { try ask(network.mine) } == 2)
        try network.theirs.put([1])
        return { errno { try ask(network.mine) } == nil }
      }
      #expect(seconds.allSatisfy { (20...59).contains($0) })
      #expect(Set(seconds).count > 20)
    }
    let seconds = try Network.seconds { network in
      #expect(errno { _ = try network.mine.readSymbolicLink(path) } == 2)
      try network.theirs.replaceSymbolicLink(path, target: "x")
      return { (try? network.mine.readSymbolicLink(path)) == "x" }
    }
    #expect(seconds.allSatisfy { (20...59).contains($0) })
  }

  @Test("So is a name that a listing lacked")
  func unlistedNames() throws {
    let seconds = try Network.seconds { network in
      #expect(try network.mine.list(directory) == [])
      try network.theirs.put([1])
      return { network.mine.has(path) }
    }
    #expect(seconds.allSatisfy { (20...59).contains($0) })
  }

  @Test("The other machine's processes see it all the same")
  func missingElsewhere() throws {
    let network = Network()
    #expect(!network.mine.has(path))
    #expect(!network.neighbour().has(path))
    try network.theirs.put([1])
    #expect(!network.neighbour().has(path))
    #expect(network.theirs.has(path))
  }

  @Test("It is seen at once after the directory was listed, and not after it was synced")
  func openingTheDirectory() throws {
    let network = Network()
    #expect(!network.mine.has(path))
    try network.theirs.put([1])
    try network.mine.syncDirectory(directory)
    #expect(!network.mine.has(path))
    _ = try network.mine.list(directory)
    #expect(network.mine.has(path))
    #expect(try network.mine.content(.shared) == [1])
  }

  @Test("O_EXCL and link ask the server also for a name that is cached as missing")
  func exclusiveCreation() throws {
    let network = Network()
    try network.mine.put([2], at: "/s/mine")
    #expect(!network.mine.has(path))
    try network.theirs.put([1])
    #expect(errno { _ = try network.mine.create(path, mode: 0o600) } == 17)
    #expect(errno { try network.mine.link("/s/mine", to: path) } == 17)
  }

  @Test("A name that is cached as missing is known once it was created here")
  func creationHere() throws {
    let network = Network()
    #expect(!network.mine.has(path))
    try network.mine.put([1])
    #expect(network.mine.has(path))
    #expect(network.neighbour().has(path))
  }

  @Test("unlink of a name that is cached as missing fails here, and removes nothing")
  func unlinkOfMissing() throws {
    let network = Network()
    #expect(!network.mine.has(path))
    try network.theirs.put([1])
    #expect(errno { try network.mine.unlink(path) } == 2)
    #expect(network.disk.paths.contains(path))
    _ = try network.mine.list(directory)
    try network.mine.unlink(path)
    #expect(!network.disk.paths.contains(path))
  }

  @Test("A name that was removed and made anew elsewhere is the old file for up to 30 s")
  func replacedName() throws {
    let seconds = try Network.seconds { network in
      try network.theirs.put([1])
      try network.theirs.link(path, to: "/s/old")
      #expect(try network.mine.content(.shared) == [1])
      try network.theirs.unlink(path)
      try network.theirs.put([2])
      return { try network.mine.content(.shared) == [2] }
    }
    #expect(seconds.allSatisfy { $0 <= 30.1 })
    #expect(seconds.contains { $0 > 10 })

    let network = Network()
    try network.theirs.put([1])
    try network.theirs.link(path, to: "/s/old")
    #expect(try network.mine.content(.shared) == [1])
    try network.theirs.unlink(path)
    try network.theirs.put([2])
    _ = try network.mine.list(directory)
    #expect(try network.mine.content(.shared) == [2])
  }

  @Test("A symbolic link that was repointed elsewhere is the old one for up to 30 s")
  func repointedLink() throws {
    let seconds = try Network.seconds { network in
      try network.theirs.replaceSymbolicLink(path, target: "old")
      #expect(try network.mine.readSymbolicLink(path) == "old")
      try network.theirs.replaceSymbolicLink(path, target: "new")
      #expect(try network.theirs.readSymbolicLink(path) == "new")
      return { try network.mine.readSymbolicLink(path) == "new" }
    }
    #expect(seconds.allSatisfy { $0 <= 30.1 })
    #expect(seconds.contains { $0 > 10 })

    let network = Network(seed: 3)
    try network.theirs.replaceSymbolicLink(path, target: "old")
    #expect(try network.mine.readSymbolicLink(path) == "old")
    try network.theirs.replaceSymbolicLink(path, target: "new")
    _ = try network.mine.list(directory)
    #expect(try network.mine.readSymbolicLink(path) == "new")
  }
}
