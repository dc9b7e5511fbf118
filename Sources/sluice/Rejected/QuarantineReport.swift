import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared

/// What a segment in quarantine holds, against what the history has of its writer.
struct QuarantineReport {
  let segment: QuarantinedSegment
  /// Batches in it that were executed, or refused.
  private(set) var done = 0
  /// Whole batches in it that the history does not have: behind a damage no applier reads.
  private(set) var left: [QuarantinedSegment.Held] = []
  /// The header is damaged.
  var isUnreadable: Bool { reach == .nothing }
  private let reach: QuarantinedSegment.Reach
  /// The last batch of its writer that the history has; nil where that is forgotten, or never was one.
  let last: SequenceNumber?
  /// There are files of the same writer in the journal.
  let hasSuccessors: Bool

  private(set) var leftCount = 0

  init(_ id: JournalSegmentID, _ layout: StoreLayout, _ transaction: ReadTransaction) throws {
    let fileSystem = PosixFileSystem()
    segment = try QuarantinedSegment(id, layout, fileSystem)
    let row = try transaction.query(
      "SELECT sequence FROM _sluice_writers WHERE hex(writer) = ?",
      [.text(id.writer.description.replacing("-", with: "").uppercased())])
    if case .integer(let sequence)? = row.first?.first {
      last = SequenceNumber(UInt64(max(0, sequence)))
    } else {
      last = nil
    }
    hasSuccessors = try fileSystem.list(layout.journal).compactMap(StoreLayout.journalSegment)
      .contains { $0.writer == id.writer }
    let last = last
    var (done, left, count, bytes) = (0, [QuarantinedSegment.Held](), 0, 0)
    reach = try segment.read { held in
      if let last, held.batch.sequence <= last {
        done += 1
      } else {
        count += 1
        bytes += held.bytes
        let isListed =
          left.count < Limits.batchesListedOfSegment && bytes <= Limits.bytesListedOfSegment
        if isListed { left.append(held) }
      }
    }
    (self.done, self.left, leftCount) = (done, left, count)
  }

  var name: String { StoreLayout.journalName(segment.id) }

  /// `NAME: 12 batches of it were executed, 3 whole ones were not`, and a line for each of those.
  var lines: [String] {
    var first = "\(name): "
    if isUnreadable {
      first += "nothing in it can be read, its header is damaged"
    } else {
      first += "\(done) of its batches are in the history, \(leftCount) whole ones are not"
    }
    if case .offset(let offset) = reach {
      first +=
        "; from byte \(offset) on it was not looked at, there is too much that only claims to be a batch"
    }
    if last == nil { first += "; its writer is not remembered" }
    if hasSuccessors { first += "; its writer has files in the journal, so it stays where it is" }
    let more = leftCount - left.count
    return [first] + left.map(Self.text) + (more > 0 ? ["  and \(more) more"] : [])
  }

  private static func text(_ held: QuarantinedSegment.Held) -> String {
    let sql = held.content?.statements.first?.sql.printable.prefix(80)
    let key = held.content?.key.map { "  key \($0.printable)" } ?? ""
    return "  not executed: batch \(held.batch.sequence)  \(sql ?? "(cannot be decoded)")\(key)"
  }

  var json: String {
    var object = JSONObject()
    object.add("segment", name)
    object.add("bytes", segment.size)
    object.add("readable", !isUnreadable)
    if case .offset(let offset) = reach { object.add("readUpTo", offset) }
    object.add("executed", done)
    object.add("notExecuted", leftCount)
    object.add("isNeeded", hasSuccessors)
    let batches = left.map { held in
      var batch = JSONObject()
      batch.add("sequence", held.batch.sequence.rawValue)
      if let key = held.content?.key { batch.add("id", key) }
      if let content = held.content {
        if !content.guards.isEmpty { batch.add("guards", content.guards.map(\.json)) }
        batch.add("statements", content.statements.map(\.json))
      }
      return batch.text
    }
    object.add("batches", batches)
    return object.text
  }
}
