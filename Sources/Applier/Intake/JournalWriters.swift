internal import SluiceJournal
internal import SluiceShared

/// The writers with segments in the journal, whose files these are, and how far each was read.
///
/// A class: the database is asked here, which may take so long that the applier makes a beat meanwhile, and
/// that counts the writers.
final class JournalWriters {
  struct Queue {
    /// By number, never none; the first is the one being read.
    var segments: [JournalSegmentReader] = []
    /// The highest sequence number read.
    var lastRead = SequenceNumber(0)
    /// Known once one of them was opened.
    fileprivate(set) var owner: UInt32?
    /// What the history had of it when its owner was asked for; it may have more by now.
    fileprivate var executed: KnownWriter?
  }

  /// What the history knows of a writer; nil where it has no batch of it.
  var history: (WriterID) throws(StoreError) -> KnownWriter? = { (_) throws(StoreError) in nil }
  /// The database could not say: that is no file's fault.
  private(set) var failedQuestion: StoreError?
  private var queues: [WriterID: Queue] = [:]
  /// Of writers that had files in this term and have none now: whose they were, and the last number that
  /// was read.
  private var remembered: [WriterID: (owner: UInt32, lastRead: SequenceNumber)] = [:]
  private static let mostRemembered = 100_000
  private let environment: Environment

  init(_ environment: Environment) { self.environment = environment }

  var count: Int { queues.count }
  var all: Dictionary<WriterID, Queue>.Values { queues.values }
  subscript(_ writer: WriterID) -> Queue? { queues[writer] }

  // MARK: their segments

  func add(_ segment: JournalSegmentReader) {
    var queue = queues[segment.id.writer] ?? Queue()
    let place = queue.segments.firstIndex { $0.id > segment.id } ?? queue.segments.count
    queue.segments.insert(segment, at: place)
    queues[segment.id.writer] = queue
  }

  /// Takes a writer's first segment out of its queue.
  func removeFirst(_ writer: WriterID) -> JournalSegmentReader? {
    guard var queue = queues[writer], !queue.segments.isEmpty else { return nil }
    let segment = queue.segments.removeFirst()
    keep(queue, of: writer)
    return segment
  }

  func remove(_ segment: JournalSegmentReader) {
    guard var queue = queues[segment.id.writer] else { return }
    queue.segments.removeAll { $0 === segment }
    keep(queue, of: segment.id.writer)
  }

  private func keep(_ queue: Queue, of writer: WriterID) {
    queues[writer] = queue.segments.isEmpty ? nil : queue
    guard queue.segments.isEmpty, let owner = queue.owner else { return }
    if remembered.count >= JournalWriters.mostRemembered { remembered = [:] }
    let last = max(queue.lastRead, remembered[writer]?.lastRead ?? SequenceNumber(0))
    remembered[writer] = (owner, last)
  }

  /// What is read next of a writer is due now; of all where nil.
  func bringForward(_ writer: WriterID?) {
    if let writer {
      queues[writer]?.segments.first?.nextPoll = .zero
    } else {
      for queue in queues.values { queue.segments.first?.nextPoll = .zero }
    }
  }

  // MARK: whose they are

  /// The owner of a writer's files: of those from which batches were executed before, else of the first file
  /// that was opened, which belongs to `first`.
  func owner(of writer: WriterID, orElse first: UInt32) throws(StoreError) -> UInt32 {
    if let owner = queues[writer]?.owner { return owner }
    let executed = try ask(writer)
    let owner = executed?.owner ?? remembered[writer]?.owner ?? first
    queues[writer]?.owner = owner
    queues[writer]?.executed = executed
    return owner
  }

  /// The same where that is known without a file.
  func knownOwner(of writer: WriterID) -> UInt32? {
    queues[writer]?.owner ?? (try? history(writer))?.owner ?? remembered[writer]?.owner
  }

  private func ask(_ writer: WriterID) throws(StoreError) -> KnownWriter? {
    do throws(StoreError) { return try history(writer) } catch {
      failedQuestion = error
      throw error
    }
  }

  // MARK: what was read

  func didRead(_ frame: JournalSegmentReader.Frame, of writer: WriterID) {
    guard let last = queues[writer]?.lastRead, frame.last > last else { return }
    queues[writer]?.lastRead = frame.last
  }

  /// The batches that a frame follows, and that are neither read nor in the history; nil where none are
  /// missing.
  func missing(before frame: JournalSegmentReader.Frame, of writer: WriterID)
    throws(StoreError) -> ClosedRange<UInt64>?
  {
    var last = queues[writer]?.lastRead ?? SequenceNumber(0)
    guard frame.first > last.next else { return nil }
    // A new term has not read what is in the history.
    last = max(last, remembered[writer]?.lastRead ?? SequenceNumber(0))
    guard frame.first > last.next else { return nil }
    last = max(last, try ask(writer)?.sequence ?? SequenceNumber(0))
    guard frame.first > last.next else { return nil }
    return last.next.rawValue...frame.first.rawValue - 1
  }

  /// How many of a frame's batches, its first ones, were in the history when this term found their writer.
  ///
  /// A live segment is read from its beginning by each term: mostly that is what was executed long ago. Its
  /// outcomes are there, so it need not wait for its turn to be found a repeat; whatever comes twice later
  /// does. The segment can go when the commit that this was asked after is published, like any other.
  func repeats(in frame: JournalSegmentReader.Frame, of segment: JournalSegmentReader) -> Int {
    guard environment.makes(.deduplicate),
      let executed = queues[segment.id.writer]?.executed, frame.first <= executed.sequence
    else { return 0 }
    segment.lastTxID = max(segment.lastTxID, executed.asOf)
    return Int(min(UInt64(frame.count), executed.sequence.rawValue - frame.first.rawValue + 1))
  }
}

extension JournalWriters {
  /// What must not be done: takes a batch that a hint tells of for one that was read and executed.
  func believe(_ batch: BatchID) {
    guard let queue = queues[batch.writer] else { return }
    var known =
      queue.executed
      ?? KnownWriter(owner: queue.owner ?? 0, sequence: SequenceNumber(0), asOf: .zero)
    known.sequence = max(known.sequence, batch.sequence)
    queues[batch.writer]?.executed = known
  }
}

/// What the history has of a writer.
struct KnownWriter {
  /// Whose files its are.
  var owner: UInt32
  /// Of its last batch.
  var sequence: SequenceNumber
  /// The commit that this was found after ends with this.
  var asOf: TxID
}
