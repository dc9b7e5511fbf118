internal import SluiceJournal
internal import SluiceShared

/// A commit of the record, on its way through a replay.
final class ReplayedCommit {
  let meta: CommitMeta
  let first: TxID
  let last: TxID
  private let header: FrameHeader
  private let segment: LogSegment
  /// As the frame has them.
  private let encoded: [UInt8]
  private let outcomes: [BatchOutcome]
  /// Pages of the database after it was executed again.
  private(set) var replayedPages: UInt32 = 0

  init(_ commit: Commit, _ cursor: inout LogCursor) throws(StoreError) {
    meta = commit.meta
    first = commit.first
    last = commit.last
    header = commit.header
    segment = cursor.segment
    encoded = try cursor.section(.outcomes, of: commit.header)
    do throws(DecodingError) {
      outcomes = try BatchOutcome.decode(encoded, count: commit.header.count)
    } catch {
      throw StoreError(
        .damaged, "the outcomes of a commit are damaged: \(error)", path: segment.file.path,
        offset: header.offset)
    }
  }

  /// Whether the batch at an index was applied.
  func isApplied(_ index: Int) -> Bool {
    guard index < outcomes.count, case .applied = outcomes[index].outcome else { return false }
    return true
  }

  /// Whether it is an interactive transaction's: its pages were made elsewhere, over just the pages before it.
  func commitsPages(_ cursor: inout LogCursor) throws(StoreError) -> Bool {
    guard outcomes.count == 1, isApplied(0) else { return false }
    let (bytes, ranges) = try batches(&cursor)
    return bytes[ranges[0]].withUnsafeBytes {
      if case .commit? = (try? EncodedBatch($0))?.step { true } else { false }
    }
  }

  /// Whether it is one whose pages came in parts, so that the log has none but the commit's.
  func commitsParts(_ cursor: inout LogCursor) throws(StoreError) -> Bool {
    guard outcomes.count == 1, isApplied(0) else { return false }
    let (bytes, ranges) = try batches(&cursor)
    return Self.isInParts(bytes[ranges[0]])
  }

  private static func isInParts(_ batch: ArraySlice<UInt8>) -> Bool {
    batch.withUnsafeBytes {
      if case .commit(let pages)? = (try? EncodedBatch($0))?.step {
        !pages.parts.isEmpty
      } else {
        false
      }
    }
  }

  // MARK: what is executed

  /// Its batches, to be executed as it says they were. `owner` says whose files a writer's are.
  func request(
    _ cursor: inout LogCursor, owner: (WriterID) throws(StoreError) -> UInt32
  ) throws(StoreError) -> Session.Request {
    let (bytes, ranges) = try batches(&cursor)
    var pending: [PendingBatch] = []
    pending.reserveCapacity(ranges.count)
    var owners: [WriterID: UInt32] = [:]
    for (outcome, range) in zip(outcomes, ranges) {
      let writer = outcome.batch.writer
      let known = if let known = owners[writer] { known } else { try owner(writer) }
      owners[writer] = known
      let stored = Array(bytes[range.lowerBound - BatchList.leastBytes..<range.upperBound])
      let frame = PendingFrame(
        JournalSegmentID(writer: writer, number: 0), owner: known,
        JournalSegmentReader.Frame(
          first: outcome.batch.sequence, count: 1, end: 0, stored: stored, codec: .raw,
          rawBytes: Int64(stored.count)))
      pending.append(PendingBatch(frame, 0))
    }
    var request = Session.Request(batches: pending[...], time_ms: meta.time_ms)
    // Some batches are executed by themselves only.
    request.isAlone = pending.count == 1
    request.attempts = outcomes.first?.attempts ?? 0
    request.recorded = Session.Recorded(meta, outcomes, pruned: try pruned(&cursor)) { index in
      ranges[index].isEmpty
    } lacksPages: { index in
      Self.isInParts(bytes[ranges[index]])
    }
    return request
  }

  private func batches(_ cursor: inout LogCursor) throws(StoreError) -> ([UInt8], [Range<Int>]) {
    let bytes = try cursor.section(.batches, of: header)
    do throws(DecodingError) {
      return (bytes, try BatchList.ranges(bytes, count: outcomes.count))
    } catch {
      throw StoreError(
        .damaged, "the batches of a commit cannot be read: \(error)", path: segment.file.path,
        offset: header.offset)
    }
  }

  private func pruned(_ cursor: inout LogCursor) throws(StoreError) -> [WriterID] {
    guard header.section(.pruned) != nil else { return [] }
    let bytes = try cursor.section(.pruned, of: header)
    return stride(from: 0, to: bytes.count / 16 * 16, by: 16).compactMap {
      WriterID(blob: Array(bytes[$0..<$0 + 16]))
    }
  }

  // MARK: what came of it

  /// In what the commit of the replay differs, its pages apart.
  func difference(from content: CommitContent) -> StoreError? {
    replayedPages = content.meta.pageCount
    guard content.meta.pageSize == meta.pageSize else {
      return difference(
        "its pages have \(meta.pageSize) bytes, replayed \(content.meta.pageSize)")
    }
    guard content.outcomes != encoded else {
      guard content.meta.rejected == meta.rejected else {
        return difference(
          "it counts \(meta.rejected) rejected batches, replayed \(content.meta.rejected)")
      }
      return nil
    }
    let replayed =
      (try? BatchOutcome.decode(content.outcomes, count: content.count)) ?? []
    // Byte for byte: texts that say the same in other characters are others.
    for (i, (a, b)) in zip(outcomes, replayed).enumerated()
    where BatchOutcome.encode([a]) != BatchOutcome.encode([b]) {
      let txid = first.advanced(by: UInt64(i))
      guard a.batch == b.batch, a.outcome == b.outcome else {
        return difference(
          "batch \(txid) (\(a.batch)) was \(Self.text(a)), and executed again it is \(a.batch == b.batch ? "" : "\(b.batch), ")\(Self.text(b))"
        )
      }
      return difference("the key or the attempts of batch \(txid) (\(a.batch)) are others")
    }
    return difference(
      "of its \(outcomes.count) batches \(replayed.count) are executed again as one commit; batch \(first.advanced(by: UInt64(replayed.count))) is not among them"
    )
  }

  /// The content is another one since this commit.
  func difference(in differences: [ContentComparison.Difference], _ history: RecordedHistory)
    -> StoreError
  {
    let shown = differences.prefix(Self.mostDifferences).map(\.what)
    let more = differences.count - shown.count
    var text = shown.joined(separator: "; ")
    if more > 0 { text += "; \(more) more differences" }
    let tables = Set(differences.compactMap(\.table))
    if outcomes.count > 1, let changing = batches(changing: tables, history), !changing.isEmpty {
      let list = changing.prefix(Self.mostNamed).map { "\($0)" }.joined(separator: ", ")
      text +=
        "; of its batches, \(list) change \(tables.count == 1 ? "that table" : "these tables")"
    }
    return difference(text)
  }

  private static let mostDifferences = 10
  private static let mostNamed = 10

  /// Which of its batches change rows of one of `tables` when they are executed once more; nil where that cannot be
  /// found out, as where the state before is not kept.
  private func batches(changing tables: Set<String>, _ history: RecordedHistory) -> [TxID]? {
    var cursor = LogCursor(segment, to: header.end, environment: history.environment)
    guard
      let execution = try? RowExecution(
        history.log, foreignKeys: history.foreignKeys, history.extensions, history.environment),
      (try? execution.execute(Commit(header: header, meta: meta), &cursor)) != nil,
      let rows = execution.executed?.rows, !rows.isEmpty,
      rows.values.allSatisfy(\.isTold)
    else { return nil }
    let changing = rows.filter { $0.value.changes.contains { tables.contains($0.table) } }
    return changing.keys.sorted().map { first.advanced(by: UInt64($0)) }
  }

  func difference(_ what: String) -> StoreError {
    let batches = first == last ? "batch \(first)" : "batches \(first) to \(last)"
    return StoreError(
      .damaged,
      "the replay differs from the record at commit \(meta.commit) (\(batches), \(timestamp(meta.time_ms))): \(what)",
      path: segment.file.path, offset: header.offset)
  }

  private static func text(_ outcome: BatchOutcome) -> String { text(outcome.outcome) }

  private static func text(_ outcome: Outcome) -> String {
    switch outcome {
    case .applied(let applied):
      let rows =
        applied.rows.map { rows in
          ", rows "
            + rows.prefix(3).map { row in
              "(\(row.map { ContentComparison.text($0) }.joined(separator: ", ")))"
            }.joined(separator: ", ") + (rows.count > 3 ? ", … \(rows.count) in all" : "")
        } ?? ""
      return
        "applied, \(applied.changes) changes, last rowid \(applied.lastRowID)\(rows)"
    case .rejected(let rejection): return "rejected, \(rejection.code): \(rejection.message)"
    case .duplicate(let txid, let original): return "a duplicate of \(txid), \(text(original))"
    }
  }
}
