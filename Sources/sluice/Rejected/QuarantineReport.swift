import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared

/// What a segment in quarantine holds, against what the history has of its writer.
struct QuarantineReport {
  let segment: QuarantinedSegment
  /// Batches in it that were executed, or refused.
  private(set) var done = 0
  /// Others that were submitted again since, by `sluice resubmit` or under their own key.
  private(set) var doneAgain = 0
  /// Whole batches in it that the history does not have: behind a damage no applier reads.
  private(set) var left: [QuarantinedSegment.Held] = []
  private(set) var leftCount = 0
  /// The header is damaged.
  var isUnreadable: Bool { reach == .nothing }
  private let reach: QuarantinedSegment.Reach
  private let fates: QuarantineFates
  /// There are files of the same writer in the journal.
  let hasSuccessors: Bool

  init(_ id: JournalSegmentID, _ layout: StoreLayout, _ transaction: ReadTransaction) throws {
    segment = try QuarantinedSegment(id, layout, PosixFileSystem())
    hasSuccessors = try Self.writersWithFiles(layout).contains(id.writer)
    let fates = try QuarantineFates(segment, layout.root, transaction)
    self.fates = fates
    var (done, again, left, count, bytes) = (0, 0, [QuarantinedSegment.Held](), 0, 0)
    reach = try segment.read { held in
      switch fates.fate(of: held) {
      case .executed: done += 1
      case .submittedAgain: again += 1
      case .open:
        count += 1
        bytes += held.bytes
        let isListed =
          left.count < Limits.batchesListedOfSegment && bytes <= Limits.bytesListedOfSegment
        if isListed { left.append(held) }
      }
    }
    (self.done, doneAgain, self.left, leftCount) = (done, again, left, count)
  }

  static func writersWithFiles(_ layout: StoreLayout) throws(StoreError) -> Set<WriterID> {
    Set(
      try PosixFileSystem().list(layout.journal).compactMap(StoreLayout.journalSegment)
        .map(\.writer))
  }

  var name: String { StoreLayout.journalName(segment.id) }

  /// `NAME: 12 batches of it were executed, 3 whole ones were not`, and a line for each of those.
  var lines: [String] {
    var first = "\(name): "
    if isUnreadable {
      first += "nothing in it can be read, its header is damaged"
    } else {
      first += "\(done) of its batches are in the history, \(leftCount) whole ones are not"
      if doneAgain > 0 { first += "; \(doneAgain) were submitted again since" }
      if !fates.isComplete {
        first +=
          "; the log does not go back to when it was written, so some of these may have been executed"
      }
    }
    if case .offset(let offset) = reach {
      first +=
        "; from byte \(offset) on it was not looked at, there is too much that only claims to be a batch"
    }
    if fates.last == nil { first += "; its writer is not remembered" }
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
    object.add("submittedAgain", doneAgain)
    object.add("notExecuted", leftCount)
    object.add("isCertain", fates.isComplete)
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
