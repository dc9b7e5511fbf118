internal import CoreMetrics
internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// Decides when a checkpoint is due and makes it beside the applier's work.
final class Checkpointer {
  let checkpoint: Checkpoint
  private let options: ApplierOptions
  private let environment: Environment
  private var work: (any StartedWork)?
  private let failure = Monitor<StoreError?>(nil)
  private(set) var newest = TxID.zero
  private var target = TxID.zero
  private var lastMade: Duration
  private var notBefore: Duration = .zero
  /// Log bytes in finished segments since the newest checkpoint, and in the current one.
  private var finishedBytes: Int64 = 0
  private var currentBytes: Int64 = 0
  private var bytesAtCheckpoint: Int64 = 0
  /// Log segments begun, likewise.
  private var segments: UInt64 = 0
  private var segmentsAtCheckpoint: UInt64 = 0
  private var atStart: (bytes: Int64, segments: UInt64) = (0, 0)

  init(_ checkpoint: Checkpoint, _ options: ApplierOptions, _ environment: Environment) {
    self.checkpoint = checkpoint
    self.options = options
    self.environment = environment
    lastMade = environment.clock.elapsed()
  }

  /// What the last term said, until it is looked up.
  func assume(newest: TxID) { self.newest = newest }

  /// A term begins with the checkpoint `newest`; a late applier may have set `current.sqlite` back.
  /// It was made `age` ago, and earlier terms wrote `logBytes` in `segments` segments since.
  func begin(newest: TxID, age: Duration, logBytes: Int64, segments: UInt64) {
    self.newest = newest
    lastMade = environment.clock.elapsed() - age
    finishedBytes = logBytes
    self.segments = segments
    try? checkpoint.pointCurrent(to: newest)
  }

  /// How long ago a checkpoint was made, where the file server's time is `now_ms`; zero where that is not
  /// known.
  func age(of txid: TxID, now_ms: Int64?) -> Duration {
    let path = checkpoint.layout.database(of: txid)
    guard let now_ms, let made_ms = try? environment.fileSystem.status(path).modified_ms else {
      return .zero
    }
    return .milliseconds(max(0, now_ms - made_ms))
  }

  func noteLog(bytes: Int64) { currentBytes = bytes }

  func rotated() {
    finishedBytes += currentBytes
    currentBytes = 0
    segments += 1
  }

  private var logBytes: Int64 { finishedBytes + currentBytes - bytesAtCheckpoint }

  func isDue(_ snapshot: Snapshot) -> Bool {
    guard work == nil, snapshot.txid > newest else { return false }
    let now = environment.clock.elapsed()
    guard now >= notBefore else { return false }
    if logBytes > max(options.checkpointBytes, snapshot.byteCount / 2) { return true }
    if segments - segmentsAtCheckpoint >= options.checkpointSegments { return true }
    return mostAge.map { now - lastMade >= $0 } ?? false
  }

  /// What is older than what is to be kept can go only behind a checkpoint; so where little is written, one
  /// is made in that time all the same.
  private var mostAge: Duration? {
    options.checkpointAge ?? options.retention.keep.map { max($0, .seconds(24 * 3600)) }
  }

  func start(_ snapshot: PublishedSnapshot) {
    target = snapshot.txid
    atStart = (finishedBytes + currentBytes, segments)
    let checkpoint = checkpoint
    let failure = failure
    work = environment.executor.start {
      do throws(StoreError) { try checkpoint.make(of: snapshot) } catch {
        failure.withLock { $0 = error }
      }
    }
  }

  /// Takes the result of a checkpoint that is done; returns why it failed, if it did.
  func finished() -> StoreError? {
    guard let work, work.isDone else { return nil }
    self.work = nil
    let error = failure.withLock { error in
      defer { error = nil }
      return error
    }
    let now = environment.clock.elapsed()
    guard error == nil else {
      // The log holds everything; try again later.
      notBefore = now + .seconds(60)
      options.metrics?.checkpointFailures.increment()
      return error
    }
    newest = target
    options.metrics?.checkpoints.increment()
    (bytesAtCheckpoint, segmentsAtCheckpoint) = atStart
    lastMade = now
    return nil
  }

  /// There may be room for one now.
  func tryAgain() { notBefore = .zero }

  func wait() {
    work?.wait()
    _ = finished()
  }
}
