import SluiceJournal
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
    var denied = 0
    for id in segments.sorted() {
      var counted = last[id.writer] ?? SequenceNumber(0)
      do throws(StoreError) {
        guard let created_ms = try count(id, after: &counted, in: store, environment) else {
          continue
        }
        last[id.writer] = counted
        // Its writer dates it as it likes.
        oldest_ms = max(0, min(oldest_ms ?? created_ms, created_ms))
      } catch {
        // Applied and removed since it was listed; or whatever its owner has made of it.
        guard !error.isNoSuchFile, !error.isStaleHandle else { continue }
        ignored += 1
        if error.errno == 13 { denied += 1 }  // EACCES
      }
    }
    guard denied < segments.count else {
      self = Backlog(status)
      return
    }
    self.oldest_ms = UInt64(max(0, environment.clock.wallTime_ms() - (oldest_ms ?? .max)))
  }

  private static func applied(
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
    guard try file.status().kind == .regular else {
      throw StoreError(.foreign, "a journal file must be a regular file", path: path)
    }
    guard let segment = try JournalSegmentHeader.read(file) else { return nil }
    let header = segment.header
    var frames = segment.frames
    guard header.store == store.description.id else { return nil }
    frames.scanner.readAhead = Block.size
    var found = false
    while let frame = try frames.ahead(), frame.kind == .batches,
      frame.end <= Limits.mostJournalSegmentBytes, frame.holdsItsBatches
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
}
