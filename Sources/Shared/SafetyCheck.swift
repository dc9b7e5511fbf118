/// The checks that the promises rest on. In a debug build, and in one for the simulator, a test can
/// leave one out, to see that something breaks; in any other build all of them are always made.
package enum SafetyCheck: String, CaseIterable, Sendable {
  /// The holder reads its mark after each commit frame.
  case markAfterFrame
  /// The writer reads its segment's mark after each flush, before it acknowledges.
  case markAfterFlush
  /// It reads the mark when the flush is durable, and not before.
  case flushBeforeMark
  /// The claimant reads its own mark after its start frame.
  case markAfterStart
  /// The claimant marks a segment before it reads what the segment holds.
  case markBeforeReading
  /// The claimant marks downwards until a segment with a start frame.
  case markDownToStart
  /// The parent is the nearest segment with a start frame (not with a beacon).
  case parentByStart
  /// A log segment gets its number by an operation that one claimant wins.
  case claimByLink
  /// Nobody claims behind a segment that was closed and whose successor is lost.
  case successorOfMarked
  /// Nor behind a log that ends before a checkpoint.
  case checkpointWithinLog
  /// Who answers hints is not claimed from before a lease has passed since its last answer.
  case silenceSinceAnswer
  /// The beacon is written only after the mark was read.
  case checkBeforePublishing
  /// A commit is believed, and so its batches acknowledged, only when a beacon states it.
  case publishBeforeAcknowledging
  /// A beacon is durable before its holder relies on it.
  case syncBeacon
  /// A log segment is not written again after a failed write.
  case newSegmentAfterError
  /// Nor is a journal segment.
  case newJournalSegmentAfterError
  /// A reader that finds its segment closed looks for a later one.
  case lookBehindMark
  /// A journal segment is removed only when what it holds is published.
  case removeOnlyPublished
  /// The applier reads a journal segment again after marking it.
  case rereadAfterMark
  /// Names are found by listing, never by probing.
  case listNames
  /// A journal segment is read only after a listing that began when it was known.
  case listAgain
  /// The log, which others write, is opened past the caches.
  case sharedLog
  /// So is the journal.
  case sharedJournal
  /// A frame of the log counts only when its checksums say that all of it is there.
  case wholeLogFrames
  /// So does a frame of the journal.
  case wholeJournalFrames
  /// Damage before a published position is not taken for the end.
  case damageIsNoEnd
  /// The merged index of a segment that goes on behind a point in the history is not used as of then.
  case indexOfThatTime
  /// A page's checksum is compared on each read.
  case pageChecksum
  /// What a journal frame says it holds is held against its bytes before it is believed.
  case countsAgainstBytes
  /// One look at one writer's files takes a bounded amount of reading.
  case boundedLooks
  /// A batch that was executed is not executed again.
  case deduplicate
  /// A writer's batches are executed from files of one user only.
  case ownWriter
  /// What an import in pieces has not ended counts for no other user's import.
  case ownImport
  /// A writer that may be forgotten begins no segment.
  case rememberedWriter
  /// What a batch's virtual tables keep in memory is written before the batch ends.
  case ownFlush
  /// What has the name of a full-text table's statistics is such a table.
  case shadowNames
  /// What a virtual table does in a statement of the applier's own is done with a batch's rights.
  case lateRights
  /// After each statement the transaction must still be open.
  case autocommit
  /// A worker begins where its term's history ends.
  case workerAtEnd
  /// A batch is refused what names the TEMP schema. (Without this, the next one finds it.)
  case temporaryDenied
  /// After a batch the connection is what it was before: nothing lies in the TEMP schema.
  case connectionAsBefore
  /// What hangs on a table is asked by PRAGMA, which no table of a batch's can answer in its place.
  case shadowedPragmas
  /// SQL is UTF-8, and so is a schema: the names that are looked at are those that SQLite has.
  case readableText
  /// Foreign keys to Sluice's own tables, which an earlier version may have let in, do not bind them.
  case unboundTables
  /// No batch sees an order that only this connection has.
  case ordered
  /// A commit ends at so many bytes of outcomes.
  case boundedOutcomes
  /// A schema takes no more memory than a connection that opens it has.
  case boundedSchema
  /// What a virtual table remembers of a batch that was undone is forgotten.
  case undoneForgotten
  /// A batch that is undone takes a virtual table that it made and filled back with the whole
  /// transaction.
  case undoneWithTransaction
  /// A verdict is executed on the batch that it names.
  case verdictByName
  /// An extension is loaded only with the content that was recorded.
  case extensionContent
  /// What a batch turned on the connection is turned back after it.
  case settingsEnd
  /// The pages that VACUUM writes stay for the commit that tells of it.
  case compactedPages
  /// A state has the page size that its last commit says, whatever the checkpoint has that it is made from.
  case ownPageSize
  /// An interactive transaction writes one store and nothing beside it.
  case commitsAlone
  /// A transaction's pages are accepted only over the newest state, and only if that is what they were
  /// made on.
  case pagesOverNewest
  /// While a turn is out, pages must name it.
  case turnNamed
  /// While a turn is out, nothing but its holder's is executed.
  case turnExcludes
  /// A turn ends by its time.
  case turnEnds
  /// A transaction's pages raise the change counter.
  case pagesRaiseCounter
  /// Their page 1, and the free pages that it names, are looked at.
  case soundFirstPage
  /// A schema that they change must be one that SQLite reads and batches can use.
  case candidateSchema
  /// They leave the pages of Sluice's own tables as they are.
  case ownPages
  /// No tree of theirs leads to a page of Sluice's own, of the schema, or to a free one.
  case ownTrees
  /// The parts of a transaction's pages are those that it names, and all that it has.
  case namedParts
  /// The change counter rises with each commit.
  case changeCounter
  /// Who has claimed the log reads again how the applier is elected.
  case kindAfterClaim
  /// A renewal counts from before the request was sent.
  case renewalFromRequest
  /// So does a holder's deadline, where a table elects.
  case deadlineFromRequest
  /// A standby takes another's item only when that stayed the same for the lease time.
  case stealAfterObservation
  /// A renewal is conditional on holder and term.
  case renewalByTerm
  /// Who took the item and lost the log's claim gives it back.
  case giveBackAfterLostClaim
  /// A store's assistants begin at most one term a second.
  case pauseBetweenAssistants
  /// `log/` is fsync'd before a new segment in it is relied on.
  case syncLogDirectory
  /// So is `journal/`.
  case syncJournalDirectory
  /// So is `checkpoints/`.
  case syncCheckpointDirectory
  /// `quarantine/` is fsync'd before a segment that was put there loses its name in the journal.
  case syncQuarantine
  /// A term that follows one which ended without release names what it executes.
  case watchAfterUncleanEnd
  /// What is executed then is named durably before it is decoded.
  case nameBeforeExecution
  /// Ends in the same batches add up over terms.
  case countEnds
  /// No checkpoint is made of a commit that is not published.
  case publishedCheckpoint
  /// What is retired of the log lies below a segment that has a beacon.
  case retireBelowBeacon
  /// No checkpoint that is kept needs it.
  case retireSuperseded
  /// The names of those checkpoints are durable before.
  case retireBehindDurable
  /// Retired are the lowest segments first.
  case retireLowestFirst
  /// A segment goes to `log/old/` by an operation that replaces nothing.
  case retireByLink
  /// It is deleted there when it has no name in `log/` any more.
  case deleteOnlyMoved
  /// The newest two checkpoints stay.
  case keepTwoCheckpoints
  /// What is superseded stays for an hour, for those who still read it.
  case keepForReaders
  /// What a hint says of an outcome is looked up, and not believed.
  case lookAfterHint
  /// What a hint says is durable counts as read when it was read.
  case readAfterHint
  /// A hint that a term has ended allows no claim: the lease does.
  case lookAfterRelease
  /// Who follows is told what a beacon says is published, and not what a hint does.
  case lookAfterNews
  /// A replay's outcomes are compared with the recorded ones.
  case compareOutcomes
  /// Where a replay's pages are not the recorded ones, the content of all tables is compared.
  case compareContents
  /// Where a feed of rows makes other pages than the recorded ones, its rows are compared with the record.
  case compareRows
  /// A page's place counts in the segment, by number and nonce, that says it.
  case placeInItsSegment
  /// What a backup has copied of the log is read back, and whole, before the copy publishes it.
  case provenCopy
  /// A backup is told whole when also what an earlier one had left unsynced is durable.
  case settledCopy
  /// A new backup gets its store.json when all else is durable.
  case describedLast
}

extension Environment {
  /// Whether `check` is made; always true in what is shipped.
  package func makes(_ check: SafetyCheck) -> Bool {
    #if DEBUG || SLUICE_SIMULATION
      return !omittedChecks.contains(check)
    #else
      return true
    #endif
  }
}
