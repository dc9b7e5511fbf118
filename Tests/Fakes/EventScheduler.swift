internal import SluiceShared

/// Runs the threads of simulated processes in simulated time, one at a time: whoever waits the
/// shortest goes on next, and the time is then what it waited for.
///
/// Nothing but the seed decides the order, so a run repeats exactly. Waiting costs nothing: an hour
/// in which all sleep passes at once.
package final class EventScheduler: @unchecked Sendable {
  // Sendable: everything that is not `let` is touched by the one thread that has the baton only, and
  // the baton passes through the mutex of a `Monitor`.

  /// A thread of a simulated process, or of nobody (the run itself).
  package final class Strand: @unchecked Sendable {
    // Sendable: as the scheduler.
    package let process: SimulatedProcess?
    fileprivate let number: Int
    /// UInt64.max: until another strand wakes it.
    fileprivate var wake_ns: UInt64
    fileprivate var thread: StrandThread?
    fileprivate var joining: [Strand] = []
    /// The step at which it gave way last: of several whose time it is, the longest waiting goes on.
    fileprivate var lastStep = 0
    package fileprivate(set) var isDone = false

    fileprivate init(_ process: SimulatedProcess?, _ number: Int, _ wake_ns: UInt64) {
      self.process = process
      self.number = number
      self.wake_ns = wake_ns
    }

    fileprivate var next_ns: UInt64 {
      guard let process, !process.isDead, wake_ns != .max else { return wake_ns }
      return max(wake_ns, process.frozenUntil_ns)
    }
  }

  /// Nanoseconds since the run began.
  package private(set) var now_ns: UInt64 = 0
  /// The run is over: nothing waits any more, and whatever is asked for fails.
  package private(set) var isOver = false
  package var random: SeededRandom
  /// Times that a strand gave way.
  package private(set) var steps = 0

  private var strands: [Strand] = []
  private var lastNumber = 0
  private let main: Strand
  private let mainTurn = Monitor(false)
  package private(set) var current: Strand

  package init(seed: UInt64) {
    random = SeededRandom(seed: seed)
    main = Strand(nil, 0, .max)
    current = main
  }

  /// Starts a strand; it runs when its turn comes.
  @discardableResult
  package func start(_ process: SimulatedProcess?, _ body: @escaping @Sendable () -> Void) -> Strand
  {
    lastNumber += 1
    let strand = Strand(process, lastNumber, now_ns)
    let thread = StrandThread.take()
    strand.thread = thread
    strands.append(strand)
    thread.give(body) { [self] in end(strand, thread) }
    return strand
  }

  /// Runs everything that was started until `finish()`, or until all is done.
  package func run() {
    precondition(current === main, "the run itself runs it")
    guard let first = choose() else { return }
    pass(to: first)
    StrandThread.wait(mainTurn)
  }

  /// Ends the run: every strand goes to its end without waiting.
  package func finish() { isOver = true }

  /// Lets those go on whose time it is; where the run is over or the process died, they are what the
  /// caller waits for.
  package func yield() {
    current.wake_ns = now_ns
    giveWay()
  }

  /// Lets others go on for `duration_ns`; at once where the run is over or the process died.
  package func sleep(_ duration_ns: UInt64) {
    guard !isOver, current.process?.isDead != true else { return }
    let (wake, overflow) = now_ns.addingReportingOverflow(duration_ns)
    current.wake_ns = overflow ? .max - 1 : wake
    giveWay()
  }

  /// Ends a strand's sleep at this time, or now, where it would last longer.
  func wake(_ strand: Strand, at time_ns: UInt64) {
    guard !strand.isDone, strand.wake_ns != .max else { return }
    strand.wake_ns = min(strand.wake_ns, max(now_ns, time_ns))
  }

  /// Waits until `strand` is done, whatever becomes of its process.
  package func join(_ strand: Strand) {
    guard !strand.isDone else { return }
    strand.joining.append(current)
    current.wake_ns = .max
    giveWay()
  }

  /// The strands of a process that died go to their ends now.
  func wakeAll(of process: SimulatedProcess) {
    for strand in strands where strand.process === process && strand.wake_ns != .max {
      strand.wake_ns = min(strand.wake_ns, now_ns)
    }
  }

  private func giveWay() {
    steps += 1
    let mine = current
    mine.lastStep = steps
    guard let next = choose() else { preconditionFailure("every strand waits for another") }
    guard next !== mine else {
      now_ns = max(now_ns, mine.next_ns)
      return
    }
    let turn = mine.thread?.turn
    pass(to: next)
    if let turn { StrandThread.wait(turn) }
  }

  private func end(_ strand: Strand, _ thread: StrandThread) {
    strand.isDone = true
    strands.removeAll { $0 === strand }
    for waiting in strand.joining { waiting.wake_ns = now_ns }
    StrandThread.put(thread)
    if let next = choose() {
      pass(to: next)
    } else {
      precondition(strands.isEmpty, "every strand waits for another")
      current = main
      StrandThread.wake(mainTurn)
    }
  }

  /// The strand whose time comes first; of several the one that waited longest.
  private func choose() -> Strand? {
    var best: Strand?
    var bestTime = UInt64.max
    for strand in strands {
      // When the run is over, time stands still and only joining waits.
      let time = isOver && strand.wake_ns != .max ? 0 : strand.next_ns
      guard time != .max else { continue }
      if time < bestTime || time == bestTime && strand.lastStep < best?.lastStep ?? 0 {
        (best, bestTime) = (strand, time)
      }
    }
    return best
  }

  private func pass(to strand: Strand) {
    if !isOver, strand.process?.isDead != true { now_ns = max(now_ns, strand.next_ns) }
    current = strand
    if let thread = strand.thread { StrandThread.wake(thread.turn) }
  }
}

/// A real thread that runs one strand after another.
private final class StrandThread: @unchecked Sendable {
  // Sendable: `body` and `end` are set by whoever has the baton and taken by the thread when it gets
  // it.
  let turn = Monitor(false)
  private var body: (@Sendable () -> Void)?
  private var end: (@Sendable () -> Void)?

  private static let idle = Monitor<[StrandThread]>([])

  static func take() -> StrandThread {
    if let thread = idle.withLock({ $0.popLast() }) { return thread }
    let thread = StrandThread()
    startThread { thread.serve() }
    return thread
  }

  static func put(_ thread: StrandThread) { idle.withLock { $0.append(thread) } }

  /// `end` passes the baton on.
  func give(_ body: @escaping @Sendable () -> Void, end: @escaping @Sendable () -> Void) {
    self.body = body
    self.end = end
  }

  private func serve() {
    while true {
      StrandThread.wait(turn)
      body?()
      // What the body held goes now, while the baton is here: files are closed by that.
      body = nil
      let end = end
      self.end = nil
      end?()
    }
  }

  static func wake(_ turn: Monitor<Bool>) {
    turn.withLock { $0 = true }
    turn.wakeOne()
  }

  static func wait(_ turn: Monitor<Bool>) {
    turn.wait { turn -> Void? in
      guard turn else { return nil }
      turn = false
      return ()
    }
  }
}
