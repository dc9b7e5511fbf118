/// Every limit in one place. A value over a limit is refused with a message that names it.
public enum Limits {
  /// Bytes of one encoded batch, before compression.
  public static let batchBytes = 64 << 20
  /// Statements (rows of parameters count one each) in one batch.
  public static let statementsPerBatch = 100_000
  /// Guards in one batch.
  public static let guardsPerBatch = 1_000
  /// Bytes of one statement's text.
  public static let statementTextBytes = 1 << 20
  /// Parameters of one statement (SQLite's SQLITE_MAX_VARIABLE_NUMBER).
  public static let parametersPerStatement = 32_766
  /// Bytes of an idempotency key, in UTF-8; not empty.
  public static let keyBytes = 512
  /// Bytes of the result rows that one batch may ask for.
  public static let resultBytes = 1 << 20
  /// Bytes of an error message that is recorded.
  public static let messageBytes = 4096
  /// Bytes of one journal frame: a batch at its limit and some room.
  public static let journalFrameBytes = 80 << 20
  /// Of these, bytes of batches; the rest is for the frame's header.
  public static let journalBatchesBytes = journalFrameBytes - 256
  /// Batches in one journal frame.
  public static let batchesPerFrame = 65_536
  /// Smallest and largest journal segment.
  public static let smallestJournalSegment: Int64 = 64 << 10
  public static let largestJournalSegment: Int64 = 64 << 20
  public static let journalSegmentBytes = smallestJournalSegment...largestJournalSegment
  /// The longest journal segment that there is: mark and header, a frame at its limit, and the empty
  /// frame that ends it. What lies behind is read by nobody.
  public static let mostJournalSegmentBytes: Int64 = Int64(journalFrameBytes) + 3 * 4096
  /// Each batch of a journal frame takes so many bytes of the file at least …
  public static let leastStoredBytesPerBatch = 8
  /// … and what decompresses to so many bytes takes one at least: what others have to do for a writer
  /// is bounded by what it writes.
  public static let mostRawBytesPerStoredByte = 128
  /// A log segment's size; one commit larger than that gets a segment of its own.
  public static let logSegmentBytes: Int64 = 64 << 20
  /// Bytes of changed pages in one commit; a batch that changes more is rejected.
  public static let commitBytes: Int64 = 4 << 30
  /// Bytes of journal and temporary files that one group may use on the local disk.
  public static let scratchBytes: Int64 = 16 << 30
  /// A scratch disk that is full while a group of batches has less than this there is a device at
  /// fault, which stops the applier; with more, it is the group that filled it.
  public static let leastScratchBytes: Int64 = 64 << 20
  /// Batches in one commit.
  public static let batchesPerCommit = 8192
  /// Bytes of batches in one commit (one larger batch may be alone in its commit).
  public static let batchBytesPerCommit = 16 << 20
  /// Terms in a row that end while they execute the same batches at full speed, before care begins.
  public static let endsBeforeCare: UInt32 = 2
  /// Terms that end while they execute one batch with care, before it is rejected.
  public static let endsInCare: UInt32 = 3
  /// Writers whose batches are in one group while groups are named in beacons, which have room for
  /// `attemptsInBeacon` names: the rest is for what earlier terms ended in.
  public static let writersPerWatchedGroup = 48
  public static let attemptsInBeacon = 64
  /// Steps of SQLite's virtual machine that one batch may take.
  public static let stepsPerBatch: UInt64 = 2_000_000_000
  /// A writer's own bytes that are not applied yet; over it `submit` waits or fails.
  public static let backlogBytes = 64 << 20
  /// Bytes of one loadable extension, and how many a store may have.
  public static let extensionBytes = 64 << 20
  public static let extensionsPerStore = 16
  /// Memory for SQLite's page cache and for changed pages before they go to scratch files.
  public static let cacheBytes = 64 << 20
  public static let dirtyBytes = 32 << 20
}
