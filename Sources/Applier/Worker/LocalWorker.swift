internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// Executes in this process: for a program that embeds an applier and has no child to run, and for the
/// simulator. What SQL does to its process it does to the applier then.
final class LocalWorker: ExecutionWorker {
  private var session: Session
  private var settings: Session.Settings
  private let events: WorkerEvents
  private let environment: Environment
  private let fault: Fault

  /// What a simulator lets befall it, where the session cannot say that itself.
  private final class Fault: @unchecked Sendable {
    // Sendable: touched by the applier's thread only, which calls the session and is called by it.
    var end: WorkerEnd?
    var index = 0

    /// Ends whatever is under way.
    func end(_ end: WorkerEnd) -> StoreError {
      self.end = end
      return StoreError(.io, "the worker ended")
    }
  }

  private let asks: (WorkerMoment) -> WorkerFault?

  init(
    _ snapshot: Snapshot, _ settings: Session.Settings, _ events: WorkerEvents,
    _ environment: Environment, fault asks: (@Sendable (WorkerMoment) -> WorkerFault?)? = nil
  ) throws(StoreError) {
    let fault = Fault()
    self.fault = fault
    self.asks = asks ?? { _ in nil }
    self.settings = settings
    self.events = events
    self.environment = environment
    if let asks {
      let before = settings.beforeBatch
      self.settings.beforeBatch = { (batch) throws(StoreError) in
        switch asks(.batch(batch)) {
        case nil: try before?(batch)
        case .ends: throw fault.end(.ended(.batch(fault.index), "in the simulator"))
        case .overruns: throw fault.end(.overran(index: fault.index, "in the simulator"))
        }
      }
    }
    session = try Session(snapshot, self.settings, environment)
    watch()
  }

  var extent: LogExtent { session.extent }

  private func watch() {
    let events = events
    let fault = fault
    session.onProgress = { events.onProgress() }
    session.isInVain = { events.isInVain() }
    session.onBatch = { index in
      fault.index = index ?? 0
      // Many short batches take as long as one that runs long.
      if index != nil { events.onProgress() }
    }
  }

  func known(_ writer: WriterID) throws(WorkerEnd) -> WriterState? {
    if fault.end == nil {
      do throws(StoreError) { try reopen() } catch { throw .failed(error) }
    }
    return try asked { (session) throws(StoreError) in try session.known(writer) }
  }

  /// Opens the database anew where that must be.
  private func reopen() throws(StoreError) {
    guard session.mustReopen else { return }
    session = try Session(session.snapshot, settings, environment)
    watch()
  }

  private func asked<R>(_ body: (Session) throws(StoreError) -> R) throws(WorkerEnd) -> R {
    if let end = fault.end { throw end }
    do throws(StoreError) { return try body(session) } catch { throw .failed(error) }
  }

  func commit(_ request: Session.Request, write: @escaping Session.Write) throws(WorkerEnd)
    -> Session.Done
  {
    if let end = fault.end { throw end }
    var confirmed: Session.Done?
    do throws(StoreError) {
      try reopen()
      return try session.commit(request) { [self] (content, done) throws(StoreError) in
        if asks(.commit) != nil { throw fault.end(.ended(.commit, "in the simulator")) }
        let placed = try write(content, done)
        confirmed = done
        if asks(.confirmed) != nil { throw fault.end(.ended(.nothing, "in the simulator")) }
        return placed
      }
    } catch {
      // What became of the worker is found with the next question.
      if let confirmed { return confirmed }
      if session.hasRefusedCommit { _ = fault.end(.ended(.commit, "\(error)")) }
      throw fault.end ?? .failed(error)
    }
  }
}

/// What stands by for a worker in this process as a child process would: a store of its own, open.
final class LocalPreparation: PreparedWorker {
  private let layout: StoreLayout
  private var store: PageStore?
  private let settings: Session.Settings
  private let environment: Environment
  private let fault: @Sendable (WorkerMoment) -> WorkerFault?

  init(
    _ layout: StoreLayout, _ settings: Session.Settings, _ environment: Environment,
    fault: @escaping @Sendable (WorkerMoment) -> WorkerFault?
  ) {
    self.layout = layout
    self.settings = settings
    self.environment = environment
    self.fault = fault
  }

  private func opened() throws(StoreError) -> PageStore {
    if let store { return store }
    let opened = try PageStore(path: layout.root, environment: environment)
    store = opened
    return opened
  }

  func follow() throws(WorkerEnd) {
    do throws(StoreError) {
      if let store { _ = try store.snapshot(.latest) } else { _ = try opened() }
    } catch {
      throw .failed(error)
    }
  }

  func checkThere() {}

  func begin(at txid: TxID) {}

  func opened(at txid: TxID, _ events: WorkerEvents) throws(WorkerEnd) -> any ExecutionWorker {
    do throws(StoreError) {
      let store = try opened()
      let snapshot =
        environment.makes(.workerAtEnd)
        ? try store.snapshot(.atLeast(txid, timeout: .seconds(60))) : store.current
      return try LocalWorker(snapshot, settings, events, environment, fault: fault)
    } catch {
      throw .failed(error)
    }
  }
}
