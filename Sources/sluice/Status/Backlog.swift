import Glibc
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared

/// Batches that are durable and not applied yet.
struct Backlog {
  var batches: UInt64 = 0
  /// Uncompressed.
  var bytes: UInt64 = 0
  /// At most so long has the oldest waited.
  var oldest_ms: UInt64 = 0
  /// Files with a segment's name that are none, or cannot be read.
  var ignored: UInt64 = 0
  /// What some frames say of themselves was believed: there is too much of it to read it all.
  var isEstimate = false
  /// Segments that this user may not read.
  private(set) var denied = 0
  /// The last batch that was counted, or is applied, of each writer.
  private(set) var ends: [WriterID: SequenceNumber] = [:]

  /// Bytes that are read of frames at most, to see that they are what they say: what a writer says is as
  /// long as it likes, and a backlog may be tens of gigabytes.
  private static let mostSummedBytes: Int64 = 128 << 20
  private var summedBytes: Int64 = 0

  private init() {}

  /// As the applier says.
  init(_ status: ApplierStatus) {
    batches = status.backlogBatches
    bytes = status.backlogBytes
    oldest_ms = status.oldest_ms
    ignored = status.ignored
  }

  /// Counts the batches in `segments` of the journal that the database does not have yet: a segment
  /// stays for a while after its batches are applied. Who has no right to any of them is told what the
  /// applier said last.
  init(
    counting segments: [JournalSegmentID], in store: PageStore, _ environment: Environment,
    otherwise status: ApplierStatus
  ) throws(StoreError) {
    self.init()
    guard !segments.isEmpty else { return }
    let applied: [WriterID: SequenceNumber]
    do {
      applied = try Backlog.applied(Set(segments.map(\.writer)), store, environment)
    } catch let error as StoreError {
      throw error
    } catch {
      let why = (error as? SQLiteError).map { ": \($0)" } ?? ""
      throw StoreError(.io, "the store cannot be queried\(why)", path: store.layout.root)
    }
    var last = applied
    var oldest_ms: Int64?
    // No batch waits for longer than there is a store, whatever its writer says.
    let made_ms = store.description.id.time_ms
    for id in segments.sorted() {
      var counted = last[id.writer] ?? SequenceNumber(0)
      do throws(StoreError) {
        guard let created_ms = try count(id, after: &counted, in: store, environment) else {
          continue
        }
        last[id.writer] = counted
        // Its writer dates it as it likes.
        oldest_ms = max(made_ms, min(oldest_ms ?? created_ms, created_ms))
      } catch {
        // Applied and removed since it was listed; or whatever its owner has made of it.
        guard !error.isNoSuchFile, !error.isStaleHandle else { continue }
        if error.isForbidden { denied += 1 }
        // Of others' files only the store's user says that nobody can use them.
        guard error.isForbidden, !isStoresUser(store, environment) else {
          ignored += 1
          continue
        }
        isEstimate = true
      }
    }
    ends = last
    guard denied < segments.count || ignored > 0 else {
      let denied = denied
      self = Backlog(status)
      (self.denied, isEstimate) = (denied, true)
      return
    }
    self.oldest_ms = UInt64(max(0, environment.clock.wallTime_ms() - (oldest_ms ?? .max)))
  }

  private func isStoresUser(_ store: PageStore, _ environment: Environment) -> Bool {
    (try? environment.fileSystem.status(store.layout.journal).owner) == geteuid()
  }

  static func applied(
    _ writers: Set<WriterID>, _ store: PageStore, _ environment: Environment
  ) throws -> [WriterID: SequenceNumber] {
    let database = Database(store, executor: environment.executor)
    return try database.read(.latest) { transaction in
      var applied: [WriterID: SequenceNumber] = [:]
      for writer in writers {
        var blob = ByteWriter(reserving: 16)
        blob.append(writer)
        let sequence = try transaction.scalar(
          "SELECT sequence FROM _sluice_writers WHERE writer = ?", [.blob(blob.bytes)])
        if case .integer(let number)? = sequence {
          applied[writer] = SequenceNumber(UInt64(number))
        }
      }
      return applied
    }
  }

  /// Adds the batches of one segment behind `counted`, which goes with them: a batch that was sent
  /// again is in two segments. Returns when the segment was made, nil where nothing of it waits. Throws
  /// where it is no segment or cannot be read.
  private mutating func count(
    _ id: JournalSegmentID, after counted: inout SequenceNumber, in store: PageStore,
    _ environment: Environment
  ) throws(StoreError) -> Int64? {
    let path = "\(store.layout.journal)/\(StoreLayout.journalName(id))"
    let file = try environment.fileSystem.open(path, .shared)
    let status = try file.status()
    guard status.kind == .regular else {
      throw StoreError(.foreign, "a journal file must be a regular file", path: path)
    }
    // As an applier takes it: one that is being moved to quarantine has a second name there.
    if status.links > 1, try !isInQuarantine(id, store.layout, environment) {
      throw StoreError(.foreign, "a journal file has one name", path: path)
    }
    guard let segment = try JournalSegmentHeader.read(file) else { return nil }
    let header = segment.header
    var frames = segment.frames
    guard header.store == store.description.id else { return nil }
    frames.scanner.readAhead = Block.size
    var found = false
    while let frame = try frames.ahead(), frame.kind == .batches,
      frame.end <= Limits.mostJournalSegmentBytes, frame.holdsItsBatches,
      try isThere(frame, &frames.scanner)
    {
      frames.pass(frame)
      let end = frame.first + UInt64(frame.count)
      guard frame.count > 0, end > counted.rawValue + 1 else { continue }
      batches += end - max(frame.first, counted.rawValue + 1)
      bytes += UInt64(frame.section(.batches)?.rawBytes ?? 0)
      counted = SequenceNumber(end - 1)
      found = true
    }
    return found ? header.created_ms : nil
  }

  private func isInQuarantine(
    _ id: JournalSegmentID, _ layout: StoreLayout, _ environment: Environment
  ) throws(StoreError) -> Bool {
    try environment.fileSystem.listed(ifThere: layout.quarantine)
      .contains(StoreLayout.journalName(id))
  }

  /// Whether the frame's batches are what its header says, as far as that is looked at.
  private mutating func isThere(_ frame: FrameHeader, _ scanner: inout FrameScanner)
    throws(StoreError) -> Bool
  {
    guard frame.count > 0 else { return true }
    guard let section = frame.section(.batches) else { return false }
    let end = frame.offset + section.offset + section.storedBytes
    // The header's own block is written.
    let next = frame.offset + Int64(Block.size)
    if end > next {
      // What was never written, or is not there, costs no reading.
      guard let data = try scanner.file.nextData(from: next), data < end,
        try scanner.file.read(1, at: end - 1).count == 1
      else { return false }
    }
    guard summedBytes + section.storedBytes <= Backlog.mostSummedBytes else {
      isEstimate = true
      return true
    }
    summedBytes += section.storedBytes
    return try scanner.isWhole(section, of: frame)
  }
}
