import CSQLite
import SluiceSQLite
import SluiceShared

/// What must not be and was in a run: of which kind it is, and how it came about.
package struct Violation: Equatable, Sendable, CustomStringConvertible {
  package let kind: Kind
  /// For people.
  package let what: String

  package init(_ kind: Kind, _ what: String) {
    self.kind = kind
    self.what = what
  }

  package var description: String { "\(kind.rawValue): \(what)" }

  /// Each is raised where it is seen. A mutation names the kinds by which its absent check is known.
  package enum Kind: String, CaseIterable, Hashable, Sendable {
    // MARK: One history

    /// A commit is one thing to some and another thing to others.
    case twoHistories
    /// Two readers were shown different content as of one TxID.
    case twoContents
    /// What a beacon says is published cannot be read.
    case publishedIsGone
    /// Commits or TxIDs follow each other with a gap.
    case historyHasGap
    /// The log lacks its beginning, and all is to be kept.
    case historyIsCut
    /// Somebody saw more than there is in the end.
    case historyIsShort
    case timeWentBack

    // MARK: Batches

    /// Acknowledged, and neither in the history nor in the journal; or about to be.
    case lost
    case executedTwice
    case executedOutOfOrder
    /// In the history is what nobody submitted.
    case neverSubmitted
    /// Told not to be in the journal, and executed.
    case refusedAndExecuted
    /// One name for two works.
    case namedTwice
    /// A frame was believed to hold more batches than it can.
    case overstatedFrame
    /// A file that keeps to nothing changed the database.
    case strangerTookEffect
    /// The outcome is none that this batch can have there.
    case wrongOutcome
    case twoOutcomes
    /// The history says something else than its maker was told.
    case toldOtherwise
    case outcomeFromNowhere
    /// A batch is refused since its writer was forgotten, and it was not.
    case writerForgotten
    /// A batch is refused for a time that it did not take.
    case undueTimeLimit
    /// A batch is refused as poisonous, and too few terms ended in it.
    case unduePoison
    /// A batch is refused for a reason that there was not.
    case undueRejection
    case submitFailed

    // MARK: Readers

    /// A reader was shown less than somebody had seen before.
    case staleRead
    /// A reader was shown less than it asked for.
    case lessThanAsked
    /// A transaction showed one thing, and then another.
    case unstableTransaction
    /// The balances do not add up.
    case moneyMoved
    /// A reader was shown another content than the history has.
    case wrongContent
    /// The state of another time was shown for the one that was asked for.
    case wrongPast
    /// Something was said to be gone that is kept.
    case undueExpiry
    /// Files were read within the bound of staleness.
    case readWithinBound
    /// A reader waited for an applier that nobody needs.
    case readerWaited
    /// Who follows was told of, or passed, what was never published.
    case newsFromNowhere
    /// Who follows looked later than it must, whatever becomes of hints.
    case newsCameLate
    /// A reader tried to change a file.
    case readerWrote
    /// SQLite takes the database for malformed.
    case corruptDatabase

    // MARK: Damage

    /// Damaged bytes were shown, or less than what lies before them.
    case damageShown
    /// An error does not name what is damaged.
    case damageMisnamed

    // MARK: Files

    case currentLeadsNowhere
    /// What acknowledged batches or the description of the store lie in was removed.
    case keptFileRemoved
    /// A log segment was removed that no later beacon covers, or before it had another name.
    case uncoveredSegmentRemoved
    /// A log segment was removed before one below it.
    case segmentRemovedFromAbove
    /// A log segment was removed that is needed behind the checkpoints.
    case neededSegmentRemoved
    /// One of the newest two checkpoints was removed, or any where all are kept.
    case checkpointRemoved
    case removedTooEarly
    case removedBeforeQuarantine
    case unpublishedCheckpoint

    // MARK: Interactive transactions

    /// Pages were committed over another state than theirs.
    case committedOverOther
    /// Pages were committed that should be refused.
    case unsoundPagesCommitted
    case committedBesideTurn
    case refusedInTurn
    /// Pages were refused over the newest state, or for no reason.
    case undueConflict

    // MARK: Leading

    /// Batches end processes, and none is named as the cause.
    case noCauseNamed
    /// A beacon counts more ended terms than there can be.
    case endsOvercounted
    /// Somebody led on whose lease had run out, or claimed what it had.
    case ledWithoutLease
    case ledAfterRefusal
    /// Claimed before the lease time was over.
    case claimedTooEarly
    case twoHolders
    case itemKept
    case waitedForTable
    case nobodyLed
    case assistantsInHaste

    // MARK: In the calm

    case notTaken
    case notDrained
    case didNotCome

    // MARK: Processes that ended by an error that nothing excuses

    /// Of a store in which nothing was damaged.
    case endedByDamage
    case endedByExpiry
    /// SQLite refused the applier what it needs.
    case endedBySQLite
    case endedOtherwise
    /// The simulator itself could not do something.
    case trialFailed
  }
}

extension Violation {
  /// A process ended by `error`, and nothing excuses it.
  init(endedBy error: any Error, _ what: String) { self.init(.ended(by: error), what) }
}

extension Violation.Kind {
  fileprivate static func ended(by error: any Error) -> Self {
    if let error = error as? SQLiteError {
      return error.primary == SQLITE_CORRUPT ? .corruptDatabase : .endedOtherwise
    }
    guard let error = error as? StoreError else { return .endedOtherwise }
    return switch error.code {
    case .damaged: .endedByDamage
    case .snapshotExpired: .endedByExpiry
    case .io where error.errno == nil: .endedBySQLite
    default: .endedOtherwise
    }
  }
}
