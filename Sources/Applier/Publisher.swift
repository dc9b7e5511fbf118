internal import SluiceJournal
internal import SluiceShared

/// Writes beacons beside the applier's work, one in flight at most, and knows what is published.
///
/// What is confirmed becomes true for others, this process's own writers and readers included, only
/// when its beacon is written.
final class Publisher {
  private let environment: Environment
  private var inFlight: (work: any StartedWork, beacon: Beacon, started: Duration)?
  private let failure = Monitor<StoreError?>(nil)
  private var finishedStart: Duration?
  /// Between the beginnings of the last two beacons that are written.
  private(set) var interval: Duration?
  private var previousStart: Duration?
  /// When the last beacon was begun (boot time).
  private(set) var lastStart: Duration
  private(set) var publishedTxID = TxID.zero
  /// Told of what is published, on the loop's thread.
  var onPublished: ((TxID) -> Void)?
  /// Called when a beacon was written or has failed, on the thread that wrote it; `wait` does not wait long
  /// then.
  var onWritten: (@Sendable () -> Void)?

  init(_ environment: Environment) {
    self.environment = environment
    lastStart = environment.clock.elapsed()
  }

  /// What the term's first beacon, written with the claim, said.
  func published(_ txid: TxID) { publishedTxID = txid }

  /// `isAwaited`: the caller waits for it now. So it is written on this thread, and nobody is told.
  func start(_ beacon: Beacon, _ holder: LogHolder, isAwaited: Bool = false) {
    precondition(inFlight == nil, "one beacon in flight at most")
    let started = environment.clock.elapsed()
    lastStart = started
    let (failure, onWritten) = (failure, isAwaited ? nil : onWritten)
    let executor: any Executor = isAwaited ? InlineExecutor() : environment.executor
    let work = executor.start {
      do throws(StoreError) { try holder.publish(beacon) } catch {
        failure.withLock { $0 = error }
      }
      onWritten?()
    }
    inFlight = (work, beacon, started)
  }

  /// A beacon is on its way, or was written and not taken note of.
  var isUnderWay: Bool { inFlight != nil }
  var isDone: Bool { inFlight?.work.isDone ?? false }

  /// Waits for the beacon in flight; throws what its writing threw.
  func wait() throws(StoreError) {
    guard let flight = inFlight else { return }
    flight.work.wait()
    inFlight = nil
    if let error = failure.withLock({ $0 }) { throw error }
    publishedTxID = flight.beacon.extent.txid
    onPublished?(publishedTxID)
    finishedStart = flight.started
    interval = previousStart.map { flight.started - $0 }
    previousStart = flight.started
  }

  /// When the last finished beacon was begun; once.
  func takeFinishedStart() -> Duration? {
    defer { finishedStart = nil }
    return finishedStart
  }

  /// The term is over: waits for what is in flight, whatever becomes of it.
  func abandon() {
    inFlight?.work.wait()
    inFlight = nil
  }
}
