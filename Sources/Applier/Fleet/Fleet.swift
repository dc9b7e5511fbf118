internal import CSQLite
internal import Logging
internal import SluiceHints
internal import SluiceJournal
public import SluiceShared

/// Applies the batches of many stores in one process: stands by for each, leads each that it can get a lease of,
/// and shares them evenly with other processes that serve the same.
///
/// A few threads look after all of them (`Schedule`). A store that fails is tried again after a while, and the
/// others go on.
public final class Fleet: @unchecked Sendable {
  // Sendable: `state` has its lock; `upkeep` belongs to the thread that has its turn, but for
  // `withdraw`; the rest is `let`.
  public enum Stores: Sendable {
    case these([String])
    /// All in a directory, those that come and go too.
    case all(in: String)
  }

  struct State {
    var schedule: Schedule<Int>
    var stores: [Int: FleetStore] = [:]
    var lastKey = Fleet.upkeepKey
    /// Until when a thread sleeps that looks then what is due; nil: none does.
    var watchedUntil: Duration?
    var isLeaving = false
    var isStopping = false
    var departures = 0
    var errors: [StoreError] = []
    var sharing: Sharing
    var leads = 0
    /// Where other processes that serve the same stores take hints.
    var peers: [HintAddress] = []
  }

  static let upkeepKey = 0
  let stores: Stores
  let template: ApplierOptions
  /// What is particular to one store.
  private let adapt: @Sendable (String, inout ApplierOptions) -> Void
  let environment: Environment
  let state: Monitor<State>
  private let hints: SharedHints?
  /// Of several processes on one host each does it at another moment.
  private let phase_ms: Int64
  private let many = OneOfMany(
    workers: WorkerPlaces(), housekeeping: ThreadExecutor(threadLimit: 2))
  private lazy var upkeep = FleetUpkeep(self)

  var logger: Logger { template.logger }
  /// Where others tell this process what they have released.
  var hintAddress: HintAddress? { hints?.address }

  /// Throws where there can be no socket for hints at an address that was asked for.
  public init(
    _ stores: Stores, options: ApplierOptions, environment: Environment = .posix(),
    adapt: @escaping @Sendable (String, inout ApplierOptions) -> Void = { _, _ in }
  ) throws(StoreError) {
    self.stores = stores
    var options = options
    // A beat costs a write, and the lease allows them to be seldom.
    options.beat = max(options.beat, options.leaseTime / 5)
    template = options
    self.adapt = adapt
    self.environment = environment
    phase_ms = Int64(environment.random() % 250)
    state = Monitor(
      State(
        schedule: Schedule(slots: Fleet.slots(options)), sharing: Sharing(lease: options.leaseTime))
    )
    hints = try Fleet.hints(options, environment)
  }

  /// How many stores execute batches at once. In one process they share the memory that SQLite is allowed there,
  /// and a batch that takes it all must not have another store's rejected: where it is bounded they take turns.
  static func slots(
    _ options: ApplierOptions, heapLimit: Int64 = sqlite3_hard_heap_limit64(-1)
  ) -> Int {
    options.worker == nil && heapLimit > 0 ? 1 : Limits.executingOfMany
  }

  private static func hints(_ options: ApplierOptions, _ environment: Environment)
    throws(StoreError) -> SharedHints?
  {
    guard let address = options.hints, !options.drains else { return nil }
    do throws(StoreError) { return try SharedHints(at: address, environment) } catch {
      guard address.isLoopback, address.port == 0 else { throw error }
      options.logger.warning("no hints are taken", metadata: ["reason": "\(error)"])
      return nil
    }
  }

  /// Serves them until `shouldStop` says so, or, of a drain, until all is applied. Returns what kept it from
  /// applying everything.
  public func run(shouldStop: @escaping @Sendable () -> Bool) -> [StoreError] {
    if let hints { environment.executor.detach { hints.serve() } }
    upkeep.begin()
    state.withLock { $0.schedule.add(Fleet.upkeepKey, at: .zero) }
    ThreadExecutor(threadLimit: Limits.threadsOfMany).concurrently(Limits.threadsOfMany) { _ in
      serve(shouldStop)
    }
    hints?.close()
    return state.withLock { $0.errors }
  }

  // MARK: stores

  /// Begins to serve one.
  func add(_ path: String) -> FleetStore {
    let now = environment.clock.elapsed()
    // They are not opened all at once.
    let delay = Duration.milliseconds(Int64(environment.random() % 500))
    return state.withLock { state in
      state.lastKey += 1
      let key = state.lastKey
      let store = FleetStore(path, fleet: self, environment: ownEnvironment(key)) { [self] in
        options(path, key)
      }
      state.stores[key] = store
      state.sharing.stores += 1
      state.schedule.add(key, at: now + delay)
      return store
    }
  }

  private func ownEnvironment(_ key: Int) -> Environment {
    var environment = environment
    environment.hints = hints?.network { [weak self] in self?.wake(key) } ?? NoHints()
    return environment
  }

  private func options(_ path: String, _ key: Int) -> ApplierOptions {
    var options = template
    options.many = many
    options.many?.onAnswer = { [weak self] in self?.wake(key) }
    if hints == nil { options.hints = nil }
    adapt(path, &options)
    return options
  }

  func wake(_ key: Int) {
    let now = environment.clock.elapsed()
    if state.withLock({ $0.schedule.wake(key, at: now) }) { state.wakeOne() }
  }

  func wakeAll() {
    let now = environment.clock.elapsed()
    state.withLock { $0.schedule.wakeAll(at: now) }
    state.wakeAll()
  }

  // MARK: threads

  private enum Next {
    case turn(Schedule<Int>.Turn, FleetStore?, isMoreDue: Bool)
    case rest(Duration?)
    case over
  }

  private func serve(_ shouldStop: () -> Bool) {
    while true {
      if shouldStop() { stop() }
      let now = environment.clock.elapsed()
      switch state.withLock({ Fleet.next(&$0, now) }) {
      case .over:
        state.wakeAll()
        return
      case .turn(let turn, let store, let isMoreDue):
        if isMoreDue { state.wakeOne() }
        take(turn, store)
      case .rest(let until): rest(until, now)
      }
    }
  }

  private static func next(_ state: inout State, _ now: Duration) -> Next {
    if state.schedule.count == 0 { return .over }
    if let turn = state.schedule.take(at: now) {
      let isMoreDue =
        state.watchedUntil == nil || state.schedule.nextDue().map { $0 <= now } ?? false
      return .turn(turn, state.stores[turn.key], isMoreDue: isMoreDue)
    }
    let due = state.schedule.nextDue()
    guard let due, state.watchedUntil.map({ due < $0 }) ?? true else { return .rest(nil) }
    state.watchedUntil = due
    return .rest(due)
  }

  /// One thread sleeps until something is due, all others until they are called.
  private func rest(_ until: Duration?, _ now: Duration) {
    let clock = environment.clock
    func hasWork(_ state: inout State) -> Bool {
      state.schedule.count == 0
        || state.schedule.nextDue().map { $0 <= clock.elapsed() } ?? false
    }
    guard let until else {
      // It is called when there is something; a clock that calls nobody looks now and then.
      _ = clock.wait(on: state, atMost: template.leaseTime) {
        hasWork(&$0) || $0.watchedUntil == nil && $0.schedule.nextDue() != nil ? () : nil
      }
      return
    }
    let limit = max(.zero, min(until - now, Limits.longestUnheededStop))
    _ = clock.wait(on: state, atMost: limit) { hasWork(&$0) ? () : nil }
    state.withLock { if $0.watchedUntil == until { $0.watchedUntil = nil } }
  }

  private func take(_ turn: Schedule<Int>.Turn, _ store: FleetStore?) {
    guard let store else {
      return finish(turn.key, turn.key == Fleet.upkeepKey ? upkeep.step() : .ended, nil)
    }
    let led = store.leads
    var rest = Schedule<Int>.Rest.ended
    do throws(StoreError) {
      rest = try store.step { [state] in
        turn.mayExecute || state.withLock { $0.schedule.mayExecute(turn.key) }
      }
    } catch {
      state.withLock { $0.errors.append(error) }
    }
    if let error = store.leftBehind { state.withLock { $0.errors.append(error) } }
    let change = (store.leads ? 1 : 0) - (led ? 1 : 0)
    if change != 0 { state.withLock { $0.leads += change } }
    finish(turn.key, rest, store)
  }

  /// What is due at about the same time is done at once, by few threads, as far as it rests for so long that this makes
  /// little difference: half as many are woken, and what many do alike in a row takes each of them less.
  private static func tick_ms(_ rest: Duration) -> Int64? {
    rest >= .milliseconds(1500) ? 250 : rest >= .milliseconds(250) ? 50 : nil
  }

  private func finish(_ key: Int, _ rest: Schedule<Int>.Rest, _ store: FleetStore?) {
    let now = environment.clock.elapsed()
    var rest = rest
    if case .until(let due) = rest, let tick_ms = Fleet.tick_ms(due - now) {
      let ticks = (due.wholeMilliseconds - phase_ms) / tick_ms + 1
      rest = .until(.milliseconds(ticks * tick_ms + phase_ms))
    }
    let isServed = state.withLock { state in
      if state.schedule.done(key, rest, at: now) { return true }
      if state.stores.removeValue(forKey: key) != nil { state.sharing.stores -= 1 }
      return false
    }
    if !isServed { state.wakeAll() }
  }

  private func stop() {
    let isNews = state.withLock { state in
      defer { state.isLeaving = true }
      return !state.isLeaving
    }
    guard isNews else { return }
    // Others are to know that they may have the stores before they see the first that is released.
    upkeep.withdraw()
    state.withLock { $0.isStopping = true }
    wakeAll()
  }
}

extension Fleet: FleetMembership {
  var isStopping: Bool { state.withLock { $0.isStopping } }

  var departures: Int { state.withLock { $0.departures } }

  /// A process has gone: all stores that this one does not lead are looked at.
  func sawDeparture() {
    state.withLock { $0.departures += 1 }
    wakeAll()
  }

  var wantsMore: Bool { state.withLock { $0.leads < $0.sharing.share && $0.sharing.processes > 1 } }

  func patience(isReleased: Bool, isOffered: Bool) -> Duration {
    // Within which a standby has looked at a beacon that moves.
    let look = template.leaseTime * 2 / 5
    return state.withLock {
      // Who offered it has too many.
      isOffered
        ? look + template.leaseTime / 5
        : $0.sharing.patience(leads: $0.leads, isReleased: isReleased, look: look)
    }
  }

  func sawRelease() { wake(Fleet.upkeepKey) }

  func released(_ endpoint: HintEndpoint) {
    let peers = state.withLock { $0.peers }
    let hint = Hint(.released).sealed(with: endpoint.token)
    for peer in peers { hints?.send(hint, to: peer) }
  }

  func gaveAway() { state.withLock { $0.sharing.wentAway() } }

  func tookBack() { state.withLock { $0.sharing.cameBack() } }
}
