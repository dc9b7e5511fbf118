public import Logging
internal import SluiceSQLite
public import SluiceShared

/// How an applier works. The defaults suit a network file system with some ten writers.
public struct ApplierOptions: Sendable {
  /// Who it is, for people: host and process.
  public var holder: String
  /// How long a holder may be silent before a standby takes over.
  public var leaseTime: Duration = .seconds(10)
  /// How often an idle holder makes a beat.
  public var beat: Duration = .seconds(1)
  /// How often a standby looks at the beacon.
  public var standbyPoll: Duration = .milliseconds(100)
  /// The longest pause between two looks into the journal.
  public var slowestPoll: Duration = .milliseconds(50)
  /// Where hints are taken, and written into the beacon; nil: nowhere. On a loopback address, or one that
  /// others reach. Port 0 is any that is free.
  public var hints: HintAddress?
  /// A journal segment silent for this long is retired.
  public var retireAfter: Duration = .seconds(60)
  /// Journal segments that are open at once at most; nil: a quarter of what the process may have open.
  public var openSegments: Int?
  /// Apply what there is, release, and return.
  public var drains = false
  /// Of an `Assistant`'s applier: how it leads for a moment.
  package var assistance: Assistance?
  /// Whether somebody waits for that.
  var isAssistanceWanted: (@Sendable () -> Bool)?
  /// A checkpoint is made when the log since the last is over this, and over half the database.
  public var checkpointBytes: Int64 = 64 << 20
  /// … or over this many log segments …
  public var checkpointSegments: UInt64 = 64
  /// … or, with something new, when the last is older than this.
  public var checkpointAge: Duration?
  /// How much of the past is kept.
  public var retention = RetentionSettings()
  /// Where batches are executed: in a child process that runs this, which a batch can make hang, crash or
  /// run out of memory without harm to the applier. nil: in this process.
  ///
  /// There nothing can interrupt what SQLite does in one step of its machine: `x LIKE y` over megabytes, or an
  /// FTS query with a hundred thousand terms, may take minutes. Meanwhile the term makes no beat, so that
  /// another applier takes over, whose turn it is to hang. And a batch that crashes SQLite, or takes all
  /// memory, ends this process. So embed an applier only where all who write are trusted not to do that.
  public var worker: WorkerProgram?
  /// Processor time that one batch may take. In this process it is looked at between steps.
  public var batchTime: Duration = .seconds(30)
  /// Steps of SQLite's virtual machine that one batch may take.
  public var stepsPerBatch = Limits.stepsPerBatch
  /// Bytes of journal and temporary files that one group may use on the local disk.
  public var scratchBytes = Limits.scratchBytes
  /// Bytes of SQLite's page cache.
  public var cacheBytes = Limits.cacheBytes
  /// Bytes of a log segment.
  public var segmentBytes = Limits.logSegmentBytes
  /// The most by which this clock and the file server's may differ when a claim begins, an hour at most;
  /// nil: they are not compared, then or later.
  public var clockTolerance: Duration? = .seconds(60)
  public var logger: Logger
  /// The store's own, verified: each connection that executes batches loads them.
  var extensions: [LoadableExtension] = []
  /// Where the process has many stores.
  var many: OneOfMany?
  /// Of the store; `Applier` makes them.
  var metrics: ApplierMetrics?
  /// What befalls a worker in this process: for a simulator, which has no child processes.
  package var workerFault: (@Sendable (WorkerMoment) -> WorkerFault?)?
  /// Called before each batch is decoded and executed: where a test lets the applier end.
  public var beforeBatch: (@Sendable (BatchID) throws(StoreError) -> Void)?

  public init(holder: String, logger: Logger = Logger(label: "applier")) {
    self.holder = holder
    self.logger = logger
  }
}
