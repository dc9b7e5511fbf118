internal import Logging
internal import SluiceJournal
internal import SluiceShared

/// Segments that nothing new can come from. Each is removed once all it holds is published, and is tried
/// again, ever more seldom, where that fails: nobody waits for it.
///
/// One call takes a look's time at most, since each name costs the file server some requests and thousands
/// of writers may have ended at once. The next call goes on.
struct FinishedSegments {
  private var segments: [JournalSegmentReader] = []
  /// The last call was over before all were tried that may go.
  private(set) var isCut = false
  /// Of these, what could not be removed, and until when it is left (boot time).
  private var stuck: [String: (pause: Duration, until: Duration)] = [:]
  private let environment: Environment
  private let log: Logger

  init(_ environment: Environment, _ log: Logger) {
    self.environment = environment
    self.log = log
  }

  mutating func add(_ segment: JournalSegmentReader) {
    // Of a file that is open here NFS only hides the name when it is removed.
    segment.closeFile()
    segments.append(segment)
  }

  /// Removes those whose content is all in published commits, as far as its time goes. Returns them.
  mutating func remove(published: PublishedTxID) -> [JournalSegmentReader] {
    isCut = false
    guard !segments.isEmpty else { return [] }
    let now = environment.clock.elapsed()
    var removed: [JournalSegmentReader] = []
    var kept: [JournalSegmentReader] = []
    for segment in segments {
      guard mayGo(segment, published, now) else {
        kept.append(segment)
        continue
      }
      isCut = isCut || LookBudget.isOver(since: now, environment)
      if !isCut, remove(segment, now) { removed.append(segment) } else { kept.append(segment) }
    }
    segments = kept
    return removed
  }

  /// Takes out those of a writer that hold batches which are in no commit.
  mutating func takeOut(_ writer: WriterID) -> [JournalSegmentReader] {
    let waiting = segments.filter { $0.id.writer == writer && $0.waitingBatches > 0 }
    segments.removeAll { $0.id.writer == writer && $0.waitingBatches > 0 }
    return waiting
  }

  private func mayGo(
    _ segment: JournalSegmentReader, _ published: PublishedTxID, _ now: Duration
  ) -> Bool {
    let isPublished = segment.waitingBatches == 0 && segment.lastTxID <= published.txid
    let isStuck = stuck[segment.path].map { $0.until > now } ?? false
    return !isStuck && (isPublished || !environment.makes(.removeOnlyPublished))
  }

  private mutating func remove(_ segment: JournalSegmentReader, _ now: Duration) -> Bool {
    do throws(StoreError) { try environment.fileSystem.unlink(segment.path) } catch {
      // ENOENT: removed already, or the reply to a first try was lost.
      guard error.isNoSuchFile else {
        leave(segment, error, now)
        return false
      }
    }
    stuck[segment.path] = nil
    return true
  }

  private mutating func leave(
    _ segment: JournalSegmentReader, _ error: StoreError, _ now: Duration
  ) {
    let pause = stuck[segment.path].map { min($0.pause * 2, HeldBack.longestPause) }
    if pause == nil {
      log.error(
        "journal segment cannot be removed; all its batches are applied",
        metadata: ["error": "\(error)"])
    }
    stuck[segment.path] = (pause ?? .seconds(1), now + (pause ?? .seconds(1)))
  }
}
