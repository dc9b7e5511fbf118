internal import SluiceJournal
internal import SluiceShared

// What a part of the log is called in a report, and what is left without it.

extension SectionID {
  /// Begins a sentence's subject: “… of the commit of batches 3 to 5 is damaged”.
  var reportName: String {
    switch self {
    case .batches: "the batches themselves, a section"
    case .meta: "the description"
    case .index: "the page index"
    case .outcomes: "the outcomes, a section"
    case .consumed: "what was read of the journal, a section"
    case .pages: "the pages, a section"
    case .start: "the content"
    case .pruned: "the forgotten writers, a section"
    case .padding: "the padding"
    case .part: "a part of a transaction's pages"
    case .segmentHeader: "the copy of the segment's header"
    }
  }
}

extension FrameHeader {
  /// `batches`: of a commit.
  func reportName(_ batches: ClosedRange<TxID>?) -> String {
    switch kind {
    case .commit:
      batches.map { "the commit of batches \($0.lowerBound) to \($0.upperBound)" } ?? "a commit"
    case .start: "a segment's start frame"
    case .index: "a finished segment's merged index"
    case .batches: "a frame that belongs into a journal"
    }
  }
}

extension Verification {
  /// What of the database is there without a section of a commit of `batches`, or of another frame.
  func remains(without id: SectionID?, _ batches: ClosedRange<TxID>?) -> String {
    guard let batches else {
      return id == .index || id == .meta
        ? "all that it says is in the commits before it"
        : "readers stop here; restore the file from a backup"
    }
    let before = "up to batch \(batches.lowerBound.rawValue - 1) all is there"
    let later = remains(from: batches.upperBound)
    switch id {
    case .batches:
      return
        "what they did is in the pages; a replay cannot pass them, and begins at a later checkpoint"
    case .outcomes:
      return "what they did is in the pages; what became of each is not told any more"
    case .consumed:
      return "nothing that is read of the database"
    case .pages, .index:
      return
        "\(before); \(later); the batches are there, and `sluice replay` makes the database of them"
    default: return "\(before); \(later); restore the file from a backup"
    }
  }
}
