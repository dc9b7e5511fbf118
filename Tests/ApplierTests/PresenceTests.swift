import SluiceFakes
import SluiceHints
import SluiceShared
import Testing

@testable import SluiceApplier

@Suite("Hints of many stores share a socket")
struct SharedHintsTests {
  private let environment = Environment.posix()

  @Test func eachGetsItsOwn() throws {
    let shared = try SharedHints(at: .loopback, environment)
    startThread { shared.serve() }
    defer { shared.close() }
    let woken = Monitor<[Int]>([0, 0])
    let desks = try (0..<2).map { i in
      var environment = environment
      environment.hints = shared.network {
        woken.withLock { $0[i] += 1 }
        woken.wakeAll()
      }
      return try HintDesk(at: .loopback, environment)
    }
    #expect(desks[0].endpoint.address == desks[1].endpoint.address)
    let line = HintLine(environment)
    line.aim(at: desks[1].endpoint)
    let writer = WriterID(high: 1, low: 2)
    let batch = BatchID(writer: writer, sequence: SequenceNumber(1))
    #expect(line.ask([Hint(.question, batch: batch)]))
    #expect(woken.wait(atMost: .seconds(10)) { $0[1] > 0 ? $0[0] : nil } == 0)
    desks[1].take()
    #expect(desks[1].takeWanted() == [writer] && desks[0].takeWanted().isEmpty)
    desks[1].executed(batch, in: TxID(1))
    desks[1].published(TxID(1))
    #expect(line.wait(atMost: .seconds(10))?.kind == .published)
  }

  /// What forgets the ends that are gone may hold the last reference to one of them.
  @Test func endsOfOneNameComeAndGoOnTwoThreads() throws {
    let shared = try SharedHints(at: .loopback, environment)
    let name = HintEndpoint.name(Identifier128(high: 1, low: 2))
    let network = shared.network {}
    let isDone = Monitor(false)
    startThread {
      while !isDone.withLock({ $0 }) { _ = try? network.open(at: .loopback, for: name) }
    }
    startThread {
      for _ in 0..<20 {
        var ends = (0..<200).map { _ in try? network.open(at: .loopback, for: name) }
        while ends.popLast() != nil { SystemClock().sleep(.microseconds(50)) }
      }
      isDone.withLock { $0 = true }
      isDone.wakeAll()
    }
    #expect(isDone.wait(atMost: .seconds(60)) { $0 ? $0 : nil } == true)
  }

  /// A desk takes so many at once and no more, and what it left must not keep the next from being heard of.
  @Test func whatIsLeftKeepsNothingNewFromWaking() throws {
    let shared = try SharedHints(at: .loopback, environment)
    startThread { shared.serve() }
    defer { shared.close() }
    let sender = try environment.hints.open(at: .loopback)
    let woken = Monitor<[UInt64: Int]>([:])
    func open(_ number: UInt64) throws -> any HintSocket {
      let network = shared.network {
        woken.withLock { $0[number, default: 0] += 1 }
        woken.wakeAll()
      }
      let name = HintEndpoint.name(Identifier128(high: 1, low: number))
      return try network.open(at: .loopback, for: name)
    }
    func send(_ number: UInt64) {
      let hint = Hint(.standby).sealed(with: Identifier128(high: 1, low: number))
      sender.send(hint, to: shared.address)
    }
    func isWoken(_ number: UInt64, _ times: Int) -> Bool {
      woken.wait(atMost: .seconds(10)) { $0[number] == times ? true : nil } ?? false
    }
    let ends = try [open(1), open(2)]
    // Behind the two of the first comes one of the second.
    send(1)
    send(1)
    send(2)
    #expect(isWoken(2, 1) && isWoken(1, 1))
    #expect(ends[0].receive(atMost: .zero) != nil)
    send(1)
    #expect(isWoken(1, 2))
  }

  @Test func aWrittenBeaconWakesItsStore() throws {
    let shared = try SharedHints(at: .loopback, environment)
    let woken = Monitor(0)
    var environment = environment
    environment.hints = shared.network { woken.withLock { $0 += 1 } }
    let desk = try HintDesk(at: .loopback, environment)
    desk.interrupt()
    #expect(woken.withLock { $0 } == 1)
    #expect(desk.takeInterrupt() && !desk.takeInterrupt())
  }
}

@Suite("Processes that serve the same stores know of each other")
struct PresenceTests {
  private let clock = ManualClock()
  private let files: MemoryFileSystem

  init() {
    files = MemoryFileSystem(clock: clock)
    files.makeDirectories(["/stores"])
  }

  private func presence(_ serves: String = "*", hints: HintAddress? = nil) -> Presence {
    var environment = Environment.posix()
    environment.fileSystem = files
    environment.clock = clock
    return Presence(
      of: "/stores", serves: serves, holder: "a", hints: hints, patience: .seconds(20), environment)
  }

  @Test func eachSeesTheOthersAndWhoStops() throws {
    let (a, b) = (presence(), presence())
    #expect(try !a.renew(leads: 5) && a.processes == 1)
    #expect(try !b.renew(leads: 0) && b.processes == 2)
    #expect(try !a.renew(leads: 5) && a.processes == 2)
    b.end()
    #expect(try a.renew(leads: 5))
    #expect(a.processes == 1)
    #expect(try files.list("/stores/.sluice").count == 1)
  }

  @Test func whoWithdrewIsGoneBeforeItEnds() throws {
    let (a, b) = (presence(), presence())
    _ = try b.renew(leads: 3)
    _ = try a.renew(leads: 5)
    b.withdraw()
    #expect(try a.renew(leads: 5) && a.processes == 1)
    // A renewal that was under way.
    _ = try b.renew(leads: 3)
    b.end()
    #expect(try files.list("/stores/.sluice").count == 1)
  }

  @Test func whoServesOtherStoresIsNotCounted() throws {
    let (a, b) = (presence(), presence("only some"))
    _ = try a.renew(leads: 1)
    _ = try b.renew(leads: 1)
    _ = try a.renew(leads: 1)
    #expect(a.processes == 1 && a.others.count == 1)
  }

  @Test func whoDiedIsForgottenAndWhoOnlySleptComesBack() throws {
    let (a, b) = (presence(), presence())
    _ = try b.renew(leads: 3)
    _ = try a.renew(leads: 1)
    #expect(a.processes == 2)
    clock.advance(by: .seconds(19))
    _ = try a.renew(leads: 1)
    #expect(a.processes == 2)
    clock.advance(by: .seconds(2))
    #expect(try a.renew(leads: 1) && a.processes == 1)
    #expect(try files.list("/stores/.sluice").count == 1)
    _ = try b.renew(leads: 3)
    _ = try a.renew(leads: 1)
    #expect(a.processes == 2 && b.processes == 2)
  }

  @Test func whatIsNoPresenceIsLeftAlone() throws {
    files.makeDirectories(["/stores/.sluice"])
    for name in ["note", Identifier128(high: 1, low: 2).description] {
      let file = try files.create("/stores/.sluice/\(name)", mode: 0o644)
      try file.write([UInt8](repeating: 7, count: 4096), at: 0)
    }
    let a = presence()
    _ = try a.renew(leads: 1)
    #expect(a.processes == 1)
    clock.advance(by: .seconds(60))
    _ = try a.renew(leads: 1)
    #expect(try files.list("/stores/.sluice").count == 3)
  }

  /// Each bit of another's file. Who looks goes on, counts it at most once, and tells of releases at one address at
  /// most; when it has written again all is right, and where it has died it is forgotten as ever.
  @Test func aChangedBitIsOfNoLastingConsequence() throws {
    let there = HintAddress(high: 10 << 56 | 1 << 32, port: 7000)
    let (a, b) = (presence(), presence(hints: there))
    _ = try b.renew(leads: 3)
    let name = try #require(files.list("/stores/.sluice").first)
    _ = try a.renew(leads: 1)
    let path = "/stores/.sluice/\(name)"
    var (ignored, counted) = (0, 0)
    let text = try files.open(path, .shared).read(4096, at: 0).prefix { $0 != 0 }.count
    for bit in 0..<(text + 2) * 8 {
      _ = try b.renew(leads: 3)
      _ = try a.renew(leads: 1)
      try #require(a.processes == 2 && a.peers == [there] && b.processes == 2, "bit \(bit)")
      try flip(path, bit)
      _ = try a.renew(leads: 1)
      #expect((1...2).contains(a.processes) && a.peers.count <= 1, "bit \(bit)")
      a.processes == 1 ? (ignored += 1) : (counted += 1)
      // Some changes have it die in what is seen of it only.
      if bit % 16 == 3 {
        clock.advance(by: .seconds(21))
        _ = try a.renew(leads: 1)
        #expect(a.processes == 1, "bit \(bit)")
      }
    }
    #expect(ignored > 50 && counted > 500, "\(ignored) \(counted)")
  }

  private func flip(_ path: String, _ bit: Int) throws {
    let file = try files.open(path, .write)
    let byte = try file.read(1, at: Int64(bit / 8))[0]
    try file.write([byte ^ (1 << (bit % 8))], at: Int64(bit / 8))
  }
}
