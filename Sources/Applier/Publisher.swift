internal import SluiceJournal
internal import SluiceShared

/// Writes beacons beside the applier's work, one in flight at most, and knows what is published.
///
/// What is confirmed becomes true for others, this process's own writers and readers included, only
/// when its beacon is written.
final class Publisher {
  private let environment: Environment
  private var inFlight: (work: any StartedWork, started: Duration)?
  private let result = Monitor<Result<PublishedTxID, StoreError>?>(nil)
  private var finishedStart: Duration?
  /// Between the beginnings of the last two beacons that are written.
  private(set) var interval: Duration?
  private var previousStart: Duration?
  /// When the last beacon was begun (boot time).
  private(set) var lastStart: Duration
  private(set) var publishedTxID: PublishedTxID
  /// Told of what is published, on the loop's thread.
  var onPublished: ((TxID) -> Void)?
  /// Called when a beacon was written or has failed, on the thread that wrote it; `wait` does not wait long
  /// then.
  var onWritten: (@Sendable () -> Void)?

  /// `first`: what the term's first beacon said, which was written with the claim.
  init(_ first: PublishedTxID, _ environment: Environment) {
    self.environment = environment
    publishedTxID = first
    lastStart = environment.clock.elapsed()
  }

  /// `isAwaited`: the caller waits for it now. So it is written on this thread, and nobody is told.
  func start(_ beacon: SealedBeacon, _ holder: LogHolder, isAwaited: Bool = false) {
    precondition(inFlight == nil, "one beacon in flight at most")
    let started = environment.clock.elapsed()
    lastStart = started
    let (result, onWritten) = (result, isAwaited ? nil : onWritten)
    let executor: any Executor = isAwaited ? InlineExecutor() : environment.executor
    let work = executor.start {
      let written = Result { () throws(StoreError) in try holder.publish(beacon) }
      result.withLock { $0 = written }
      onWritten?()
    }
    inFlight = (work, started)
  }

  /// A beacon is on its way, or was written and not taken note of.
  var isUnderWay: Bool { inFlight != nil }
  var isDone: Bool { inFlight?.work.isDone ?? false }

  /// Waits for the beacon in flight; throws what its writing threw.
  func wait() throws(StoreError) {
    guard let flight = inFlight else { return }
    flight.work.wait()
    inFlight = nil
    guard let written = result.withLock({ $0 }) else { return }
    publishedTxID = try written.get()
    onPublished?(publishedTxID.txid)
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
