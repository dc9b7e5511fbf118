package import SluiceShared

/// Hints between simulated processes: lost, late, and so out of order, doubled and forged, as it is told to.
package final class SimulatedHints: @unchecked Sendable {
  // Sendable: touched by the strand that has the scheduler's baton only.

  /// Probabilities for each datagram.
  package struct Weather: Sendable {
    package var loss = 0.0
    package var delay = 0.0
    package var doubling = 0.0
    package var forgery = 0.0

    package init() {}

    package static func drawn(_ random: inout SeededRandom) -> Weather {
      func level(_ low: Double, _ high: Double, _ random: inout SeededRandom) -> Double {
        [0, low, high][random.below(3)]
      }
      var weather = Weather()
      weather.loss = level(0.05, 0.5, &random)
      weather.delay = level(0.05, 0.5, &random)
      weather.doubling = level(0.05, 0.3, &random)
      weather.forgery = level(0.02, 0.3, &random)
      return weather
    }
  }

  /// What happened to how many.
  package struct Counts: Sendable {
    package var sent = 0
    package var lost = 0
    package var late = 0
    /// Taken behind one that the same sender sent later.
    package var reordered = 0
    package var doubled = 0
    package var forged = 0
  }

  package fileprivate(set) var counts = Counts()
  package var weather: Weather
  /// Nothing goes wrong any more.
  package var isCalm = false
  /// Who waits for a datagram may notice it so much later.
  package var longestStep_ns: UInt64 = 20_000_000
  /// Who waits for one is woken when it comes, at whatever step.
  package var wakesReceivers = false
  /// What a stranger sends in place of this one, or beside it; nil: nothing.
  package var forge: (HintDatagram) -> [UInt8]? = { _ in nil }
  fileprivate let scheduler: EventScheduler
  private var random: SeededRandom
  private var sockets: [Place: Socket] = [:]
  private var lastPort: UInt16 = 10_000

  /// Loopback addresses are of a machine, all others of the whole network.
  fileprivate struct Place: Hashable {
    var machine: Int
    var address: HintAddress
  }

  package init(_ scheduler: EventScheduler, seed: UInt64) {
    self.scheduler = scheduler
    random = SeededRandom(seed: seed)
    weather = Weather.drawn(&random)
  }

  /// As one process of the machine with this number sees it; `isCutOff` says whether that is.
  package func network(
    of process: SimulatedProcess, machine: Int, isCutOff: @escaping () -> Bool
  ) -> any HintNetwork {
    Network(hints: self, process: process, machine: machine, isCutOff: isCutOff)
  }

  /// The address of a machine.
  package static func address(ofMachine number: Int) -> HintAddress {
    HintAddress(high: (10 << 24 | UInt64(number)) << 32, port: 0)
  }

  private struct Network: HintNetwork, @unchecked Sendable {
    // Sendable: as what it is a view of.
    let hints: SimulatedHints
    let process: SimulatedProcess
    let machine: Int
    let isCutOff: () -> Bool

    var loopback: UInt64 { UInt64(machine) + 1 }

    func open(at address: HintAddress) throws(StoreError) -> any HintSocket {
      hints.lastPort += 1
      var bound = address.isUnspecified ? SimulatedHints.address(ofMachine: machine) : address
      bound.port = hints.lastPort
      let place = Place(machine: bound.isLoopback ? machine : -1, address: bound)
      hints.sockets = hints.sockets.filter { !$0.value.process.isDead }
      let socket = Socket(hints, process, machine, place, isCutOff)
      hints.sockets[place] = socket
      return socket
    }
  }

  fileprivate final class Socket: HintSocket, @unchecked Sendable {
    // Sendable: as the network.
    let hints: SimulatedHints
    let process: SimulatedProcess
    let machine: Int
    let place: Place
    let isCutOff: () -> Bool
    var coming: [(at_ns: UInt64, number: Int, datagram: HintDatagram)] = []
    /// The last one of each sender that was taken, as they were sent.
    var newest: [HintAddress: Int] = [:]
    var isInterrupted = false
    /// Who sleeps until something comes.
    var waiting: EventScheduler.Strand?

    init(
      _ hints: SimulatedHints, _ process: SimulatedProcess, _ machine: Int, _ place: Place,
      _ isCutOff: @escaping () -> Bool
    ) {
      self.hints = hints
      self.process = process
      self.machine = machine
      self.place = place
      self.isCutOff = isCutOff
    }

    var address: HintAddress { place.address }

    func send(_ bytes: [UInt8], to address: HintAddress) {
      guard !process.isGone else { return }
      hints.send(HintDatagram(bytes, from: self.address), to: address, by: self)
    }

    func receive(atMost limit: Duration) -> HintDatagram? {
      let scheduler = hints.scheduler
      // Rounded up: whoever waits for less than a nanosecond must not find that no time has passed.
      let end = scheduler.now_ns + UInt64((max(0, limit.inSeconds) * 1e9).rounded(.up))
      var step: UInt64 = 10_000
      while true {
        guard !process.isGone else {
          scheduler.yield()
          return nil
        }
        if let datagram = take() { return datagram }
        let now = scheduler.now_ns
        guard !isInterrupted, now < end else { return nil }
        if hints.wakesReceivers {
          waiting = scheduler.current
          scheduler.sleep((coming.map(\.at_ns) + [end]).min().map { max($0, now) - now } ?? 0)
          waiting = nil
          continue
        }
        // Nobody wakes a simulated strand: it looks again in growing steps.
        scheduler.sleep(min(step, end - now))
        step = min(step * 2, hints.longestStep_ns)
      }
    }

    private func take() -> HintDatagram? {
      let now = hints.scheduler.now_ns
      guard let place = coming.indices.min(by: { coming[$0].at_ns < coming[$1].at_ns }),
        coming[place].at_ns <= now
      else { return nil }
      let taken = coming.remove(at: place)
      let sender = taken.datagram.sender
      if taken.number < newest[sender, default: 0] { hints.counts.reordered += 1 }
      newest[sender] = max(taken.number, newest[sender, default: 0])
      return taken.datagram
    }

    func interrupt() {
      isInterrupted = true
      wake(at: 0)
    }

    func wake(at time_ns: UInt64) {
      if let waiting { hints.scheduler.wake(waiting, at: time_ns) }
    }

    func takeInterrupt() -> Bool {
      defer { isInterrupted = false }
      return isInterrupted
    }
  }

  private func happens(_ chance: Double) -> Bool { !isCalm && random.chance(chance) }

  private func send(_ datagram: HintDatagram, to address: HintAddress, by sender: Socket) {
    counts.sent += 1
    let place = Place(machine: address.isLoopback ? sender.machine : -1, address: address)
    guard let receiver = sockets[place], !receiver.process.isDead else { return }
    if happens(weather.forgery), let bytes = forge(datagram) {
      counts.forged += 1
      deliver(HintDatagram(bytes, from: datagram.sender), to: receiver)
    }
    guard !sender.isCutOff(), !receiver.isCutOff(), !happens(weather.loss) else {
      counts.lost += 1
      return
    }
    deliver(datagram, to: receiver)
    if happens(weather.doubling) {
      counts.doubled += 1
      deliver(datagram, to: receiver)
    }
  }

  private func deliver(_ datagram: HintDatagram, to receiver: Socket) {
    var way_ns = 20_000 + random.below(300_000)
    if happens(weather.delay) {
      counts.late += 1
      way_ns += random.below(random.chance(0.3) ? 3_000_000_000 : 30_000_000)
    }
    // As much as a socket has room for.
    guard receiver.coming.count < 1000 else { return }
    let comes_ns = scheduler.now_ns + UInt64(way_ns)
    receiver.coming.append((comes_ns, counts.sent, datagram))
    receiver.wake(at: comes_ns)
  }
}
