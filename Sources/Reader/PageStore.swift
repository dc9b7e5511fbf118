internal import CoreMetrics
package import SluiceJournal
package import SluiceShared
internal import Synchronization

/// A store open for reading: hands out snapshots, each as fresh as it is asked for.
///
/// At most one caller reads the file server at a time. A caller that comes meanwhile may not take that
/// answer: it may have been read before this caller began (promise 4). All that come meanwhile share the
/// next answer, which is asked for after each of them began.
package final class PageStore: Sendable {
  package let handle: StoreHandle
  package let description: StoreDescription

  private struct State {
    var snapshot: Snapshot
    /// Boot time at which the refresh began that `snapshot` came from.
    var began_ns: UInt64
    /// Refreshes begun and, of those, the last that succeeded. `succeeded <= begun`.
    var begun: UInt64 = 1
    var succeeded: UInt64 = 1
    /// Whose turn it is to refresh.
    var refreshing = Baton()
    /// Who of the callers that wait for a TxID asks again and again, for all of them.
    var polling = Baton()
  }

  private let files: StoreFiles
  private let refresher: Refresher
  private let state: Monitor<State>
  private let past: PastSnapshots
  private let metrics: ReaderMetrics
  /// Callers that began to wait for a TxID, so that whoever polls for them notices a new one.
  private let arrivals = Atomic<UInt64>(0)

  /// Opens the store at `path`. Throws `.noSuchStore`, `.foreign`, `.unsupported`, or `.damaged`.
  package init(path: String, environment: Environment) throws(StoreError) {
    let layout = StoreLayout(path)
    description = try StoreDescription.read(layout, environment.fileSystem)
    handle = StoreHandle(layout: layout, id: description.id, environment: environment)
    files = StoreFiles(of: handle)
    let began = environment.clock.bootTime_ns()
    let refresher = try Refresher(files)
    self.refresher = refresher
    past = PastSnapshots(files)
    metrics = ReaderMetrics(layout)
    state = Monitor(State(snapshot: refresher.snapshot, began_ns: began))
  }

  /// A snapshot as fresh as asked for. Throws `.timeout` where what was waited for did not come,
  /// `.damaged` and `.io`.
  package func snapshot(_ freshness: Freshness = .latest) throws(StoreError) -> Snapshot {
    // A snapshot whose files are gone is no answer, however fresh it is.
    if files.expired.load(ordering: .relaxed) {
      past.forget()
      _ = try refreshed()
    }
    switch freshness {
    case .latest: return try refreshed()
    case .atLeast(let txid, let timeout):
      let known = current
      guard known.txid >= txid else { return try holding(txid, awaited(txid, timeout)) }
      metrics.cached.increment()
      return try holding(txid, known)
    case .maxStaleness(let limit):
      let now = environment.clock.bootTime_ns()
      let (known, began) = state.withLock { ($0.snapshot, $0.began_ns) }
      let isFresh = Duration.nanoseconds(Int64(now - min(began, now))) <= limit
      guard isFresh else { return try refreshed() }
      metrics.cached.increment()
      return known
    case .asOf(let point):
      return try past.snapshot(point) { () throws(StoreError) in try refreshed() }
    }
  }

  /// Throws `.damaged` where batch `txid` was lost before the history went on.
  private func holding(_ txid: TxID, _ snapshot: Snapshot) throws(StoreError) -> Snapshot {
    guard let lost = snapshot.checkpoint.lost.last(where: { $0.contains(txid) }) else {
      return snapshot
    }
    throw StoreError(
      .damaged,
      "batch \(txid) is lost: `sluice repair` found none of what was done behind batch \(lost.lowerBound.rawValue - 1), and the history goes on behind batch \(lost.upperBound); submit again what the database does not have",
      path: layout.root)
  }

  /// Has the next snapshot looked for in a segment that this process holds and has published in. Nothing is
  /// listed or opened for it. What is newer is found as ever.
  package func adopt(_ segment: LogSegment) {
    state.wait { $0.refreshing.take() ? () : nil }
    refresher.adopt(segment)
    state.withLock { $0.refreshing.layDown() }
    state.wakeAll()
  }

  /// The present, from the newest checkpoint on: what came before it is in use here no more.
  package func rebased() throws(StoreError) -> Snapshot {
    files.expired.store(true, ordering: .relaxed)
    return try snapshot(.latest)
  }

  /// The last snapshot that was handed out, however old; no I/O.
  package var current: Snapshot { state.withLock { $0.snapshot } }

  package var layout: StoreLayout { handle.layout }
  private var environment: Environment { handle.environment }
  package var clock: any Clock { environment.clock }

  /// The beacon that is there now, found anew: for who wants to know about the applier, not about pages.
  package func beacon() throws(StoreError) -> Beacon {
    try Log(of: handle).present(waits: false).beacon
  }

  // MARK: Latest

  private enum Turn {
    case done(Snapshot)
    case refresh
  }

  /// As `.latest`, where a batch that is published is known: what is new is read in the same round trip.
  package func latest(behind known: TxID) throws(StoreError) -> Snapshot {
    guard known > current.txid, !files.expired.load(ordering: .relaxed) else {
      return try snapshot(.latest)
    }
    return try refreshed(expectsNews: true)
  }

  private func refreshed(expectsNews: Bool = false) throws(StoreError) -> Snapshot {
    // The first refresh that begins after this call.
    var wanted: UInt64 = 0
    let turn = state.wait { state -> Turn? in
      if wanted == 0 { wanted = state.begun + 1 }
      if state.succeeded >= wanted { return .done(state.snapshot) }
      guard state.refreshing.take() else { return nil }
      state.begun += 1
      return .refresh
    }
    switch turn {
    case .done(let snapshot):
      metrics.shared.increment()
      return snapshot
    case .refresh: return try refresh(expectsNews)
    }
  }

  /// The caller holds `refreshing`.
  private func refresh(_ expectsNews: Bool) throws(StoreError) -> Snapshot {
    let began = environment.clock.bootTime_ns()
    do throws(StoreError) {
      let snapshot = try refresher.refresh(expectsNews: expectsNews)
      state.withLock { state in
        state.snapshot = snapshot
        state.began_ns = began
        state.succeeded = state.begun
        state.refreshing.layDown()
      }
      state.wakeAll()
      metrics.refreshed(since: began, environment.clock)
      return snapshot
    } catch {
      // Those that wait try themselves: the failure may be over.
      state.withLock { $0.refreshing.layDown() }
      state.wakeAll()
      throw error
    }
  }

  // MARK: At least

  private static let shortestPause = Duration.microseconds(200)
  private static let longestPause = Duration.milliseconds(50)
  /// A long pause is slept in slices, so that a new arrival shortens it.
  private static let slice = Duration.milliseconds(5)

  private func awaited(_ txid: TxID, _ timeout: Duration) throws(StoreError) -> Snapshot {
    arrivals.wrappingAdd(1, ordering: .relaxed)
    let deadline = environment.clock.elapsed() + timeout
    let left = max(.zero, timeout)
    let turn = environment.clock.wait(on: state, atMost: left) { state -> Turn? in
      if state.snapshot.txid >= txid { return .done(state.snapshot) }
      return state.polling.take() ? .refresh : nil
    }
    switch turn {
    case .done(let snapshot): return snapshot
    case .refresh: return try poll(txid, until: deadline, timeout)
    case nil: throw late(txid, timeout)
    }
  }

  /// The caller holds `polling`.
  private func poll(_ txid: TxID, until deadline: Duration, _ timeout: Duration)
    throws(StoreError) -> Snapshot
  {
    defer {
      state.withLock { $0.polling.layDown() }
      state.wakeAll()
    }
    var pause = Self.shortestPause
    var seen = current.txid
    // Who asks for a batch was told of it, as a rule.
    var expectsNews = true
    while true {
      let snapshot = try refreshed(expectsNews: expectsNews)
      expectsNews = false
      if snapshot.txid >= txid { return snapshot }
      let left = deadline - environment.clock.elapsed()
      guard left > .zero else { throw late(txid, timeout) }
      // News, or somebody new who waits, may mean that more comes soon.
      if snapshot.txid > seen { pause = Self.shortestPause }
      seen = snapshot.txid
      if rest(min(jittered(pause), left)) { pause = Self.shortestPause }
      pause = min(pause * 3 / 2, Self.longestPause)
    }
  }

  /// Sleeps; true, and earlier, when somebody new waits.
  private func rest(_ pause: Duration) -> Bool {
    let before = arrivals.load(ordering: .relaxed)
    var left = pause
    while left > .zero {
      environment.clock.sleep(min(left, Self.slice))
      left -= Self.slice
      if arrivals.load(ordering: .relaxed) != before { return true }
    }
    return false
  }

  /// Between half and one and a half of `pause`: a thousand processes must not ask in step.
  private func jittered(_ pause: Duration) -> Duration {
    pause / 2 + pause * Int(environment.random() % 1024) / 1024
  }

  private func late(_ txid: TxID, _ timeout: Duration) -> StoreError {
    StoreError(
      .timeout,
      "batch \(txid) was not applied within \(timeout); the store is at batch \(current.txid): see `sluice status` for its applier",
      path: layout.root)
  }
}
