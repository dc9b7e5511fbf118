internal import Glibc
internal import SluiceJournal
internal import SluiceShared

/// What is known of one batch while it runs; each batch begins with a new one.
struct BatchState {
  /// Steps of the virtual machine that it has left.
  private var stepsLeft: Int64
  private(set) var ranOutOfSteps = false
  /// What its statements changed of the schema; nil: nothing.
  private(set) var schemaChange: SchemaChange?
  /// Bytes of memory that the schema took before its first DDL.
  var schemaBytesBefore: Int?
  /// It deferred all foreign keys. That must not outlast it; but turning it off has all cached statements
  /// compiled anew, so it is turned off only then.
  var hasDeferred = false
  /// By the statement that ran last.
  var hasJustDeferred = false
  /// The rows that violated a foreign key before it; nil: they were not looked at, and it needs none.
  var violationsBefore: ForeignKeyViolations?
  /// The import that it is a piece of, where an earlier piece began it.
  var openImport: OpenImport?
  /// It is a piece of an import, and other users have some that have not ended.
  var isBesideImports = false
  /// It wrote to a virtual table, which may remember things beside its content.
  private(set) var hasWrittenVirtual = false
  /// To one that it has not made itself.
  private(set) var hasWrittenOlderVirtual = false
  /// The virtual tables that there were before it made one; nil: it has not.
  var olderVirtualTables: [String]?
  /// It was undone, and the transaction must not be committed all the same: a virtual table that the batch
  /// made still keeps something to be written into tables that are gone.
  ///
  /// Measured on 3.40.1: ROLLBACK TO tells a virtual table only of savepoints that it was told of, and one
  /// that was made since it was not. FTS then fails in the next savepoint, or in the commit.
  var mustRollBack = false

  /// By this thread's use of the processor; nil: none.
  private var timeEnd: Duration?
  private(set) var ranOutOfTime = false

  init(steps: Int64, time: Duration? = nil) {
    stepsLeft = steps
    timeEnd = time.map { BatchState.processorTime + $0 }
  }

  /// Of this thread: what it waits for is not counted.
  private static var processorTime: Duration {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }

  mutating func isOutOfTime() -> Bool {
    if let timeEnd { ranOutOfTime = BatchState.processorTime >= timeEnd }
    return ranOutOfTime
  }

  mutating func took(steps: Int64) {
    stepsLeft -= steps
    if stepsLeft < 0 { ranOutOfSteps = true }
  }

  mutating func add(_ change: SchemaChange) {
    schemaChange = schemaChange ?? SchemaChange()
    schemaChange?.add(change)
  }

  /// A statement wrote to `tables`, one of which is virtual.
  mutating func wroteVirtual(_ tables: Set<String>) {
    hasWrittenVirtual = true
    hasWrittenOlderVirtual = olderVirtualTables?.contains(where: tables.contains) ?? true
  }

  /// It is about to be undone, which takes as many steps as it takes.
  mutating func undo() {
    mustRollBack = hasWrittenVirtual && olderVirtualTables != nil
    ranOutOfSteps = false
    ranOutOfTime = false
    timeEnd = nil
    stepsLeft = .max / 2
  }
}
