internal import SluiceJournal
internal import SluiceSQLite
internal import SluiceShared

/// How the batches of a group are executed, one after the other, in one transaction.
extension Session {
  enum GroupEnd {
    /// So many batches are done and the transaction is ready to commit.
    case complete(Int)
    /// The same, and the batch after them wants a commit of its own.
    case completeBefore(Int)
    /// The batch at the index took the transaction with it.
    case lost(Int, Outcome.Rejection)
    /// The transaction is gone, and the connection is to be opened anew before anything is executed.
    case lostConnection
    /// The batch at the index took the transaction with it, for want of a shared resource: it is to be tried alone before it is condemned.
    case lostResources(Int)
  }

  /// The transaction is committed at the latest after this long, so that nobody waits for a large
  /// group.
  static let longestGroup: Duration = .milliseconds(250)

  /// `offender` says which of `batches` is rejected unexecuted, if any is.
  func execute(
    _ batches: ArraySlice<PendingBatch>, _ group: inout Group, isAlone: Bool,
    offender: Verdict?, _ request: Request
  ) throws(StoreError) -> GroupEnd {
    fileSystem.now_ms = group.time_ms
    let started = environment.clock.elapsed()
    try own { () throws(SQLiteError) -> Void in try begin.run() }
    for (index, batch) in batches.enumerated() {
      // Without the check it is the last one's, as it was meant where the group was made.
      let isMeant =
        environment.makes(.verdictByName)
        ? offender?.batch == batch.id : index == batches.count - 1
      let verdict = isMeant ? offender?.rejection : request.recorded?.verdict(on: batch.id)
      // What was recorded is one commit all the same.
      if group.rowBytes >= Limits.outcomeBytesPerCommit, request.recorded == nil,
        environment.makes(.boundedOutcomes)
      {
        return .complete(index)
      }
      if index > 0, environment.clock.elapsed() - started > Session.longestGroup, offender == nil,
        request.recorded == nil
      {
        return .complete(index)
      }
      executing = index
      onBatch(index)
      lastAskedForTurn = false
      let standing = try own { () throws(SQLiteError) -> Standing in
        guard let recorded = request.recorded else { return try self.standing(of: batch, request) }
        return try self.standing(of: batch, recorded)
      }
      var end: BatchEnd
      switch standing {
      case .repeated:
        note(batch, in: &group)
        continue
      case .refused(let rejection): end = .outcome(.rejected(rejection))
      case .next:
        if let verdict {
          end = try earlier(batch, verdict, group.time_ms) ?? .outcome(.rejected(verdict))
        } else {
          end = try execute(batch, in: group, isAlone: isAlone, request)
        }
      }
      if run.state.mustRollBack, let lost = lost(end, index, isAlone: isAlone) { return lost }
      // A frame that cannot be read is one rejection, which takes all its numbers.
      let batch = batch.frame.isBroken ? batch.standsForFrame : batch
      switch end {
      case .outcome(let outcome):
        try record(
          outcome, of: batch, &group, refused: standing.isRefused,
          withoutContent: verdict?.code == Outcome.Rejection.Code.poisonous, request)
        // Its TxID is the state that the turn begins on.
        if lastAskedForTurn {
          group.grantsTurn = true
          return .complete(index + 1)
        }
      case .lostTransaction(let rejection): return .lost(index, rejection)
      case .needsOwnCommit: return .completeBefore(index)
      case .needsConnection: return .lostConnection
      case .contradicted(let rejection):
        guard isAlone, isFresh else {
          mustReopen = true
          return .completeBefore(index)
        }
        try record(
          .rejected(rejection), of: batch, &group, refused: false, withoutContent: false, request)
      case .exhausted(let rejection):
        ranOut = true
        if isAlone {
          if connection.isAutocommit { return .lost(index, rejection) }
          try record(
            .rejected(rejection), of: batch, &group, refused: false, withoutContent: false, request)
        } else {
          if connection.isAutocommit { return .lostResources(index) }
          return .completeBefore(index)
        }
      }
    }
    return .complete(batches.count)
  }

  /// The end of a group whose transaction cannot be committed any more, though its last batch was undone.
  private func lost(_ end: BatchEnd, _ index: Int, isAlone: Bool) -> GroupEnd? {
    switch end {
    case .outcome(.rejected(let rejection)): return .lost(index, rejection)
    case .contradicted(let rejection) where isAlone && isFresh: return .lost(index, rejection)
    case .exhausted(let rejection):
      ranOut = true
      return isAlone ? .lost(index, rejection) : .lostResources(index)
    case .needsOwnCommit, .contradicted: return .lostConnection
    case .outcome, .lostTransaction, .needsConnection: return nil
    }
  }

  private func execute(
    _ batch: PendingBatch, in group: Group, isAlone: Bool, _ request: Request
  ) throws(StoreError) -> BatchEnd {
    if let beforeBatch { try beforeBatch(batch.id) }
    let context = BatchRun.Context(
      txid: group.nextTxID, entropy: group.entropy, time_ms: group.time_ms,
      owner: batch.owner, isAlone: isAlone,
      keepsLaterRules: request.recorded?.isRejected(batch.id) ?? true)
    let result = batch.frame.withBatch(batch.index) { bytes -> Result<BatchEnd, StoreError> in
      do throws(DecodingError) {
        let bytes = try bytes.get()
        let decoded = try EncodedBatch(bytes)
        do throws(StoreError) {
          if let known = try earlier(decoded, bytes, group.time_ms) { return .success(known) }
          if let step = decoded.step {
            guard transactions.includes(owner: batch.owner, group: batch.frame.group) else {
              return .success(.outcome(.rejected(Self.notPermitted)))
            }
            return .success(
              try execute(
                step, of: batch.frame, in: group, isAlone: isAlone, turn: request.turn))
          }
          if let rejection = unreadable(decoded, context) {
            return .success(.outcome(.rejected(rejection)))
          }
          if let meaning = Compaction.meaning(of: decoded) {
            // An earlier version refused more, in other words.
            if let rejection = request.recorded?.denial(of: batch.id) {
              return .success(.outcome(.rejected(rejection)))
            }
            switch meaning {
            case .refused(let rejection): return .success(.outcome(.rejected(rejection)))
            case .compaction(let compaction):
              return .success(isAlone ? try compact(compaction) : .needsOwnCommit)
            }
          }
          return .success(try run.execute(decoded, context))
        } catch {
          return .failure(error)
        }
      } catch {
        return .success(
          .outcome(
            .rejected(
              Outcome.Rejection(
                code: Outcome.Rejection.Code.malformed,
                message: "the batch cannot be decoded: \(error)"))))
      }
    }
    return try result.get()
  }

  /// A name that is not UTF-8 is another one for SQLite than for what looks at names here.
  private func unreadable(_ batch: EncodedBatch, _ context: BatchRun.Context) -> Outcome.Rejection?
  {
    guard let number = batch.unreadableText, context.keepsLaterRules,
      environment.makes(.readableText)
    else { return nil }
    return Outcome.Rejection(
      code: Outcome.Rejection.Code.malformed,
      message:
        "SQL text \(number) of the batch is not UTF-8; pass other bytes as parameters, or as a blob (x'…')"
    )
  }
}
