/// Every limit in one place. A value over a limit is refused with a message that names it.
package enum Limits {
  /// Bytes of one encoded batch, before compression.
  package static let batchBytes = 64 << 20
  /// Statements (rows of parameters count one each) in one batch.
  package static let statementsPerBatch = 100_000
  /// Guards in one batch.
  package static let guardsPerBatch = 1_000
  /// Bytes of one statement's text.
  package static let statementTextBytes = 1 << 20
  /// Parameters of one statement (SQLite's SQLITE_MAX_VARIABLE_NUMBER).
  package static let parametersPerStatement = 32_766
  /// Bytes of an idempotency key, in UTF-8; not empty.
  package static let keyBytes = 512
  /// Rows that violate a foreign key and are told apart from others; with more only their number is kept.
  package static let violationsTold = 1 << 17
  /// Bytes of the result rows that one batch may ask for.
  package static let resultBytes = 1 << 20
  /// Rejected batches that a database lists (`sluice rejected`); for each further one the oldest goes.
  package static let rejectionsKept: UInt64 = 20_000
  /// Bytes of an error message that is recorded.
  package static let messageBytes = 4096
  /// Bytes of one journal frame: a batch at its limit and some room.
  package static let journalFrameBytes = 80 << 20
  /// Of these, bytes of batches; the rest is for the frame's header.
  package static let journalBatchesBytes = journalFrameBytes - 256
  /// Batches in one journal frame.
  package static let batchesPerFrame = 65_536
  /// Smallest and largest journal segment.
  package static let smallestJournalSegment: Int64 = 64 << 10
  package static let largestJournalSegment: Int64 = 64 << 20
  package static let journalSegmentBytes = smallestJournalSegment...largestJournalSegment
  /// The longest journal segment that there is: mark and header, a frame at its limit, its parts at theirs, each
  /// with a block for its header and one to be whole blocks, and the empty frame that ends it. What lies behind is
  /// read by nobody.
  package static let mostJournalSegmentBytes: Int64 =
    Int64(journalFrameBytes) + 3 * 4096 + Int64(partsPerTransaction)
    * Int64(mostPartBytes + 2 * 4096)
  /// Each batch of a journal frame takes so many bytes of the file at least …
  package static let leastStoredBytesPerBatch = 8
  /// … and what decompresses to so many bytes takes one at least: what others have to do for a writer
  /// is bounded by what it writes.
  package static let mostRawBytesPerStoredByte = 128
  /// A writer id of this age is given up for a new one, when all that was acknowledged under it is applied.
  /// A segment of this age is written no more.
  package static let writerAge = Duration.seconds(24 * 3600)
  /// What has been in doubt for longer is not written again: its writer's row may have been pruned.
  package static let resendAge = Duration.seconds(24 * 3600)
  /// A writer that was silent for longer begins no segment: its row may have been pruned, which takes a
  /// week.
  package static let writerSilence = Duration.seconds(6 * 24 * 3600)
  /// The highest number of a journal segment: its name has 8 digits for it.
  package static let journalSegmentNumber: UInt64 = 99_999_999
  /// Names of new journal segments that are tried where one is taken. The second is the next one, since the first
  /// may be the writer's own. Each of the others is somewhere among the next so many: anybody may make files under a
  /// writer's id, and cannot guess which.
  package static let segmentNameTries = 6
  package static let segmentNameJumps: [UInt64] = [1 << 8, 1 << 12, 1 << 16]
  /// Failed tries of one flush; each is repeated in a new segment.
  package static let flushTries = 6
  /// Segments closed under one flush. Each was silent for the applier's whole patience, so only a writer
  /// that hardly runs meets more than one; the bound is for an applier that closes at once.
  package static let closuresPerFlush = 64
  /// Claims by which a change of the lease's kind gets behind all claimants of the old kind.
  package static let claimsPerLeaseChange = 10
  /// What a `credential_process` writes.
  package static let credentialBytes = 64 << 10
  /// A log segment's size; one commit larger than that gets a segment of its own.
  package static let logSegmentBytes: Int64 = 64 << 20
  /// A finished segment's last frame is read at once up to this size: a merged index of 50,000 pages, and one READ
  /// over NFS. A larger one takes two reads more.
  package static let lastFrameReadBytes: Int64 = 1 << 20
  /// What a walk down the log keeps of such frames; what is beyond is read again.
  package static let lastFramesKeptBytes: Int64 = 8 << 20
  /// Where a file system has less left than this, and than this part of it, what is superseded goes at once: room
  /// for a log segment, and for what writers put into the journal until the next look.
  package static let scarceBytes = 2 * logSegmentBytes
  package static let partsOfScarceDisk: Int64 = 16
  /// How long a submit waits on a full disk for whoever leads to make room.
  package static let fullDiskPatience = Duration.seconds(10)
  /// Between its tries: twice as long each time, from the one to the other.
  package static let fullDiskPauses = Duration.milliseconds(50)...Duration.seconds(1)
  /// Between two looks of a leader whether room is left, and two removals for want of it.
  package static let roomPause = Duration.seconds(1)
  /// What a reader keeps of the newest log segment: so many reads of so many blocks each.
  package static let recentWindows = 16
  package static let blocksPerWindow: Int64 = 3
  /// A line of the history that a repair begins takes TxIDs from a multiple of this on, and a store has so many
  /// lines at most: names of checkpoints have 16 digits. The batches of a line that are in no log and no
  /// checkpoint any more are fewer: at 137,000 a second, the most that was measured, they took 84 days.
  package static let batchesPerLine: UInt64 = 1_000_000_000_000
  package static let linesPerStore: UInt64 = 10_000
  /// Its segments likewise: more were not begun since the last one that is still there.
  package static let segmentsPerLine: UInt64 = 1_000_000
  /// By how much SQLite's change counter rises then: more commits were not lost.
  package static let commitsLostAtMost: UInt32 = 1 << 28
  /// Bytes of `store.json` of which a checkpoint has a copy: what its block has room for.
  package static let descriptionCopyBytes = 4010
  /// Bytes of a file that says what became of a rejected batch.
  package static let handledBatchBytes = keyBytes + 64
  /// Batches of a quarantined segment that are listed one by one, and files that a repair names likewise.
  package static let batchesListedOfSegment = 1000
  /// Bytes of these.
  package static let bytesListedOfSegment = 128 << 20
  /// Bytes of what claims to be a frame in such a segment, and is none, that are summed before the rest is
  /// left: four of the largest.
  package static let bytesSummedInVain = 4 * Int64(journalFrameBytes)
  /// So much of the history from before a quarantined segment was made is looked at before its batches are submitted
  /// again: a key is remembered for a day, and what was in doubt for a day is written again; and two hours by which
  /// clocks may differ.
  package static let historyBeforeSegment = Duration.seconds(26 * 3600)
  package static let filesNamedByRepair = 4
  /// Bytes of changed pages in one commit; a batch that changes more is rejected.
  package static let commitBytes: Int64 = 4 << 30
  /// Changed pages in one commit, since each takes some 200 bytes of memory however small it is: 4 GiB of 4 KiB each.
  package static let commitPages = 1 << 20
  /// A commit's frame of more bytes is written in pieces of so many, since to put it together would take as many again …
  package static let frameBytesTogether = 8 << 20
  package static let framePieceBytes = 1 << 20
  /// … and synced behind so many: what is written early need not wait for the last sync, nor a beat for all of it.
  package static let frameBytesUnsynced = 64 << 20
  /// Bytes of memory that the parsed schema takes in a connection. With more, what executes batches might not open
  /// the database; a batch that makes a larger one smaller is let through.
  package static let schemaBytes = 64 << 20
  /// Bytes of the outcomes in one commit, and one outcome beyond: with the rows that batches ask for they are large.
  package static let outcomeBytesPerCommit = 8 << 20
  /// Bytes of pages that one interactive transaction changes, before compression.
  package static let transactionBytes: Int64 = 2 << 30
  /// What they compress to is sent in parts where it is more than this. A part has one chunk of pages more at most:
  /// 1 MiB, and what that says of itself.
  package static let partBytes = 8 << 20
  package static let mostPartBytes = partBytes + (2 << 20)
  /// What compresses to nothing less has 256 of them.
  package static let partsPerTransaction = 288
  /// Users, or groups, that may commit interactive transactions, where not all may.
  package static let idsWithTransactions = 64
  /// How long a turn lasts, and how long at most where its holder gives signs of life.
  package static let turnTime = Duration.seconds(2)
  package static let longestTurn = Duration.seconds(30)
  /// Bytes of journal and temporary files that one group may use on the local disk.
  package static let scratchBytes: Int64 = 16 << 30
  /// A scratch disk that is full while a group of batches has less than this there, or less than one of so
  /// many parts of it, was filled by others. That is no fault of the group's, and stops the applier.
  package static let leastScratchBytes: Int64 = 64 << 20
  package static let partsOfScratchDisk: Int64 = 8
  /// Time that whose batches took long owes to others at most: as long as one batch may take by the clock.
  package static let longestDebt = Duration.seconds(120)
  /// Of journal files that cannot be used one is tried in this time at most, however many there are.
  package static let pauseBetweenUnusable = Duration.milliseconds(10)
  /// Batches in one commit.
  package static let batchesPerCommit = 8192
  /// Bytes of batches in one commit (one larger batch may be alone in its commit).
  package static let batchBytesPerCommit = 16 << 20
  /// Memory of batches that a term has read and not executed, and how much of it each user has beside that.
  package static let waitingBytes = 2 * batchBytesPerCommit
  package static let waitingBytesOfUser = waitingBytes / 4
  /// Of what comes next so many batches are looked at while a group is executed, and their frames decompressed, as far as
  /// one comes to this, and all to that: a few milliseconds of work, and less than a group.
  package static let batchesOpenedAhead = 1024
  package static let frameBytesOpenedAhead: Int64 = 1 << 20
  package static let bytesOpenedAhead: Int64 = 4 << 20
  /// Batches that are counted as missing between two frames of a writer at most: the numbers are what it says.
  package static let missingAtOnce: UInt64 = 1 << 20
  /// Messages of one kind about single journal files in a minute; of more only their number is told.
  package static let fileComplaintsPerMinute = 20
  /// Terms in a row that end while they execute the same batches at full speed, before care begins.
  package static let endsBeforeCare: UInt32 = 2
  /// Terms that end while they execute one batch alone, in care, before it is rejected.
  package static let endsInCare: UInt32 = 3
  /// Writers whose batches are in one group while groups are named in beacons, which have room for
  /// `attemptsInBeacon` names: the rest is for what earlier terms ended in.
  package static let writersPerWatchedGroup = 48
  package static let attemptsInBeacon = 64
  /// Steps of SQLite's virtual machine that one batch may take.
  package static let stepsPerBatch: UInt64 = 2_000_000_000
  /// Bytes of the rows that the batches of one commit changed, as a feed of rows keeps them in memory; of a
  /// batch with more it is told how many there are.
  package static let rowChangeBytes = 256 << 20
  /// Pages that a feed of rows knows the interior pages of tables to refer to, of 24 bytes of memory each; beyond it
  /// forgets all and begins anew.
  package static let rememberedTreeLinks = 1 << 20
  /// Batches that a sequence of changes reads ahead.
  package static let batchesReadAhead = 256
  /// Bytes of memory of what it reads ahead, and one batch with its rows beyond.
  package static let bytesReadAhead = 16 << 20
  /// A writer's own bytes that are not applied yet; over it `submit` waits or fails.
  package static let backlogBytes = 64 << 20
  /// How seldom an assistant tries whose terms come to nothing.
  package static let longestAssistancePause = Duration.seconds(60)
  /// An applier that works is silent when its beat is older than this: ten beats.
  package static let silentApplier_ms: Int64 = 10_000
  /// How long an applier that a program started, and tells to end, is waited for.
  package static let applierEnd = Duration.seconds(10)
  /// How seldom it is looked whether such an applier is still there.
  package static let lookAtChild = Duration.milliseconds(20)
  /// A batch that waits for longer while an applier leads is late (`status`).
  package static let longestHealthyWait_ms: UInt64 = 60_000
  /// Metrics in one line of CloudWatch's embedded format: its own limit.
  package static let metricsPerLine = 100
  /// How long a connection waits for locks unless its program says otherwise (`sqlite3_busy_timeout`).
  package static let busyTimeout_ms: Int32 = 5000
  /// How seldom the holder of a turn gives a sign of life.
  package static let signOfLife = Duration.milliseconds(500)
  /// How long the turn is waited for before it is asked again whether to go on.
  package static let waitingSlice: ClosedRange<Duration> = .milliseconds(25) ... .milliseconds(100)
  /// How long a turn is kept for a transaction that SQLite begins again.
  package static let keptTurn = Duration.seconds(1)
  /// How long COMMIT waits for what became of an interactive transaction.
  package static let longestCommit = Duration.seconds(30)
  /// And a second more for so many bytes of its parts.
  package static let partBytesPerSecond: Int64 = 8 << 20
  /// Bytes of the pages that an interactive transaction changed which its client keeps in memory.
  package static let overlayMemoryBytes = 8 << 20
  /// How long a PRAGMA may wait for an outcome: a day.
  package static let longestWait_ms: Int64 = 24 * 3600 * 1000
  /// Bytes of one loadable extension, and how many a store may have.
  package static let extensionBytes = 64 << 20
  package static let extensionsPerStore = 16
  /// Memory for SQLite's page cache and for changed pages before they go to scratch files.
  package static let cacheBytes = 64 << 20
  package static let dirtyBytes = 32 << 20
  /// An event of a Lambda function, and an answer: what Lambda takes where somebody waits for it.
  package static let functionEventBytes = 6 << 20
  package static let functionAnswerBytes = 6 << 20
  /// What a function leaves of its time, to answer before Lambda ends it.
  package static let functionReserve = Duration.seconds(2)
  /// How long its submit waits on a full disk; its caller can wait more cheaply.
  package static let functionFullDiskPatience = Duration.seconds(1)
  /// And what giving a lease back may take it beside that.
  package static let functionAssistReserve = Duration.seconds(2)
  /// In place of both where a query is interrupted, which leaves nothing behind.
  package static let functionReadReserve = Duration.seconds(1)
  /// Bytes of a hint.
  package static let hintBytes = 64
  /// Hints that are taken in at once before other work goes on.
  package static let hintsAtOnce = 1024
  /// Questions that an applier remembers, those of one socket and of one host, and writers whose last published
  /// batch it knows without asking the database.
  package static let hintQuestions = 4096
  package static let hintQuestionsOfOneSocket = 64
  package static let hintQuestionsOfOneHost = 2048
  /// Questions that it hears in a second of one socket, of one host and of all. 16 threads of a process that each waited
  /// 4 ms for a batch asked as many.
  package static let hintQuestionsOfOneSocketInSecond = 4096
  package static let hintQuestionsOfOneHostInSecond = 16_384
  package static let hintQuestionsInSecond = 65_536
  /// Sockets and hosts of which those are counted one by one.
  package static let hintSendersCounted = 8192
  /// How seldom those that stand no more are looked for where there is no room.
  package static let hintQuestionsSweep = Duration.seconds(1)
  package static let hintWriters = 16_384
  /// Writers of one process whose batches it asks about; with more it polls.
  package static let hintQuestionsOfProcess = 16
  /// For how long a question stands that is not asked again.
  package static let hintQuestionTime = Duration.seconds(20)
  /// How seldom who waits on the leader's host asks again, once it was heard: one such question may be lost, and it stands.
  package static let hintQuestionRenewalOnHost = Duration.seconds(8)
  /// Pieces of news in a row that came with a hint before polls become slow, at first and at most; one
  /// without doubles them.
  package static let leastHintProof = 8
  package static let mostHintProof = 4096
  /// The shortest and the longest pause between two looks without a hint, where hints have proven
  /// themselves.
  package static let shortestHintedPause = Duration.seconds(1)
  package static let longestHintedPause = Duration.seconds(5)
  /// Of who waits on the leader's host. What is published it hears within 8 s, as its question is answered when it is
  /// asked again: a look is for a leader that answers and does not tell.
  package static let longestHintedPauseOnHost = Duration.seconds(30)
  /// The longest pause between two looks at the journal of who has the turn, where hints have proven themselves.
  package static let lookDuringTurn = Duration.milliseconds(100)
  /// How long after its news a hint may come and still prove itself.
  package static let hintGrace = Duration.milliseconds(250)
  /// How far ahead of what was read of a writer a hint may be.
  package static let hintedAhead: UInt64 = 1 << 20
  /// The pause between two looks for the sake of hints that found nothing: forgeries cost no more than polling.
  package static let hintedLookPause = Duration.milliseconds(50)
  /// How long after a look has found what was asked for an answer may come and still prove that answers come.
  package static let answerGrace = Duration.milliseconds(50)
  /// Between two times that hints are taken while a group is executed.
  package static let hearingPause = Duration.milliseconds(5)
  /// The longest pause between two beats of a leader at rest, where the lease allows it.
  package static let longestRestingBeat = Duration.seconds(30)
  /// A standby that hears its leader asks again within this; one that does not asks more seldom.
  package static let standbyAsksWithin = Duration.seconds(2)
  /// How long a standby leaves it at what it has prepared, where nothing was published since: an idle store pays for
  /// what it reads then. A claim looks at all of that anew.
  package static let longestUnpreparedRest = Duration.seconds(300)
  /// Of many stores in one process: threads that look after them, how many of them execute batches at once, and
  /// how many stores beside those keep the process that executes theirs.
  package static let threadsOfMany = 16
  package static let executingOfMany = 4
  package static let restingWorkersOfMany = 4
  /// How long such a process is kept without a batch.
  package static let restingWorkerTime = Duration.seconds(5)
  /// Between two looks into the journal of one of many stores, where hints have not proven themselves.
  package static let shortestPauseAmongMany = Duration.milliseconds(10)
  package static let longestPauseAmongMany = Duration.seconds(2)
  /// Between two times that a process releases some of its stores, for others to lead.
  package static let shortestPauseBetweenReleases = Duration.seconds(1)
  package static let longestPauseBetweenReleases = Duration.seconds(600)
  /// Between two looks at who serves the same stores.
  package static let shortestPauseBetweenRounds = Duration.milliseconds(250)
  /// Between two looks at a directory that was no store, beside stores.
  package static let pauseForNoStore = Duration.seconds(30)
  /// Connections to DynamoDB that a process keeps, and requests to one table that are on their way at once.
  package static let idleConnections = 16
  package static let requestsAtOnce = 64
  /// Requests that nobody waits for which one thread has on their way at once, and connections that it keeps; and for how
  /// long it lets what comes at about the same time come together.
  package static let groupedRequests = 32
  package static let pauseForRequests = Duration.milliseconds(5)
  /// Items that one request reads: DynamoDB's own limit.
  package static let itemsInBatch = 100
  /// What a process may spend on sending requests to a table again (`RetryBudget`), what one costs that was refused or
  /// whose connection broke, what one costs that was not answered in time, and what an answer to a first try adds.
  package static let retryCapacity = 500
  package static let retryCost = 5
  package static let lateRetryCost = 10
  package static let retryRefill = 1
  /// A store that failed is tried again after this, where the process has others: twice as long each time.
  package static let shortestPauseAfterFailure = Duration.milliseconds(500)
  package static let longestPauseAfterFailure = Duration.seconds(10)
  /// How long a stop may be unnoticed in a pause.
  package static let longestUnheededStop = Duration.milliseconds(200)

  /// Pieces of 4 MiB of a database that a restore has in memory.
  package static let restoredPieces = 2
  /// A leader that waits for a file server looks no more often than that whether it has answered.
  package static let shortestRest = Duration.milliseconds(1)
}
