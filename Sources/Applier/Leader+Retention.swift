internal import Logging
internal import SluiceHints
internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// What a term removes: what is older than what is to be kept.
extension Leader {
  /// Once in a while, and when a checkpoint was made.
  func retire() throws(StoreError) {
    // A rest ends as long as it is not taken.
    let isTold = desk?.takeRoomWanted() ?? false
    guard !options.retention.removesNothing else { return }
    try takeRetired()
    retirer.lookForRoom(isTold: isTold, lastWork: lastWork)
    guard retirer.isDue(publisher.publishedTxID) else { return }
    retirer.start(occasion(), now_ms: askedTime)
  }

  /// The file server's time. On a full disk there may be no room for the file that tells it; it is later than
  /// what is told then.
  private var askedTime: @Sendable (_ isFull: Bool) -> Int64? {
    { [time, file = holder.file] isFull in
      time.serverTime_ms() ?? (isFull ? try? file.status().modified_ms : nil)
    }
  }

  /// Where nobody has said how much is kept, before anything goes.
  func tellWhatIsKept() {
    guard options.retention.removesNothing else { return }
    logger.notice(
      "nothing of the past is removed in this term, since no applier of this store has said how much is kept; from the next term on it is 7 days, unless `apply --keep` says otherwise"
    )
  }

  private func takeRetired() throws(StoreError) {
    // What this term itself reads from is older than what is to be kept.
    if let done = told(retirer.finished()), done.waitsForRebase, try execution.rebase(store) {
      retirer.hurry()
    }
  }

  /// The term is over; what was begun is finished.
  func endRetiring() {
    retirer.wait()
    _ = told(retirer.finished())
  }

  /// Logs what was removed, or why nothing was.
  private func told(_ result: Result<Retention.Done, StoreError>?) -> Retention.Done? {
    switch result {
    case nil: return nil
    case .failure(let error):
      logger.warning("what is old stays", metadata: ["error": "\(error)"])
      return nil
    case .success(let done):
      guard !done.isEmpty else { return done }
      guard !done.wasUrgent else {
        tellRoom(done, [:])
        checkpointer.tryAgain()
        return done
      }
      logger.notice(
        "removed what is older than what is kept",
        metadata: [
          "segments": "\(done.retired.count)", "deleted": "\(done.deletedSegments)",
          "checkpoints": "\(done.removedCheckpoints.count)", "from": "\(done.base)",
        ])
      return done
    }
  }

  private func tellRoom(_ done: Retention.Done, _ cause: Logger.Metadata) {
    let counts: Logger.Metadata = [
      "segments": "\(done.deletedSegments)", "checkpoints": "\(done.removedCheckpoints.count)",
    ]
    logger.warning(
      "the disk is full; what is older than what is kept was removed at once",
      metadata: cause.merging(counts) { cause, _ in cause })
  }

  private func occasion() -> Retention.Occasion {
    Retention.Occasion(
      now_ms: 0, published: publisher.publishedTxID, segment: holder.header.number,
      isSettled: environment.clock.elapsed() - segmentSince >= options.retention.listing,
      used: execution.snapshot.checkpointTxID)
  }

  /// The disk is full. True where something could go, so that the next term may find room.
  func madeRoom(for error: StoreError) -> Bool {
    guard error.isFullDisk, !options.retention.removesNothing,
      error.path?.hasPrefix(store.layout.root) ?? false
    else { return false }
    var occasion = occasion()
    guard let now_ms = askedTime(true) else { return false }
    occasion.now_ms = now_ms
    // The term is over, and with it what it reads from.
    occasion.used = nil
    do throws(StoreError) {
      let done = try retirer.makeRoom(occasion)
      guard !done.isEmpty else { return false }
      tellRoom(done, ["error": "\(error)"])
      return true
    } catch {
      logger.warning("what is old stays", metadata: ["error": "\(error)"])
      return false
    }
  }
}

extension Applier {
  /// The disk is full before a term begins; as for one that is over.
  func madeRoom(for error: StoreError) -> Bool {
    guard error.isFullDisk, let present = try? log.present(waits: false),
      let now_ms = try? present.segment.file.status().modified_ms
    else { return false }
    var options = options
    options.retention = options.retention.adopted(after: present.beacon.status.retention)
    guard !options.retention.removesNothing, error.path?.hasPrefix(layout.root) ?? false else {
      return false
    }
    let retention = Retention(Checkpoint(of: store), options, environment)
    let occasion = Retention.Occasion(
      now_ms: now_ms, published: present.published, segment: present.segment.number,
      isSettled: false, isUrgent: true)
    guard let done = try? retention.run(occasion), !done.isEmpty else { return false }
    options.logger.warning(
      "the disk is full; what is older than what is kept was removed at once",
      metadata: ["error": "\(error)"])
    return true
  }
}
