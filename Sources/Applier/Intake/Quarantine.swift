internal import Logging
internal import SluiceJournal
internal import SluiceShared

/// `journal/quarantine/`: segments with a torn or damaged write are kept for people to look at.
struct Quarantine {
  private let layout: StoreLayout
  private let environment: Environment
  private let log: Logger
  /// Segments there, and those that this term has put there.
  private(set) var count: UInt32 = 0
  private(set) var countHere: UInt32 = 0
  /// A move that was cut off leaves a file with both its names.
  private var names: Set<String> = []
  /// Writers of whom a segment is there: batches of theirs may be missing.
  private var writers: Set<WriterID> = []

  init(_ layout: StoreLayout, _ environment: Environment, _ log: Logger) {
    self.layout = layout
    self.environment = environment
    self.log = log
  }

  func has(_ id: JournalSegmentID) -> Bool { names.contains(id.name) }

  /// Whether the batches that a writer's next ones follow may be here.
  func mayHold(batchesOf writer: WriterID) -> Bool { writers.contains(writer) }

  /// Looks what is there.
  mutating func look() throws(StoreError) {
    let segments = try environment.fileSystem.list(layout.quarantine)
      .compactMap(StoreLayout.journalSegment)
    count = UInt32(segments.count)
    writers = Set(segments.map(\.writer))
    names = Set(segments.map(\.name))
  }

  /// Moves a segment with remains here, by link and unlink. `next`: what its successor begins with.
  mutating func take(
    _ segment: JournalSegmentReader, _ remains: JournalSegmentReader.Remains,
    lastRead: SequenceNumber, next: SequenceNumber?
  ) throws(StoreError) {
    writers.insert(segment.id.writer)
    let target = "\(layout.quarantine)/\(segment.id.name)"
    do throws(StoreError) { try environment.fileSystem.link(segment.path, to: target) } catch {
      if !error.isExistingFile { throw error }
      // Of somebody who may have died before it was answered, so that a file server may lose it still
      // (on NFS the sync below asks for nothing).
      try environment.changeDirectory(of: target)
    }
    segment.names = 2
    if environment.makes(.syncQuarantine) {
      try environment.fileSystem.syncDirectory(layout.quarantine)
    }
    count += 1
    countHere += 1
    names.insert(segment.id.name)
    let why =
      switch remains {
      case .tooLong: "it is longer than the longest segment"
      case .none: "what its writer says was acknowledged there is not in it"
      case .some, .unknown: "a torn or damaged write lies behind its last whole frame"
      }
    var lost = "unknown, from \(lastRead.next) on, if any was acknowledged"
    if let next, next > lastRead.next { lost = "\(lastRead.next) to \(next.rawValue - 1)" }
    log.error(
      "journal segment put into quarantine: \(why)",
      metadata: [
        "file": "\(target)", "offset": "\(segment.offset)", "lastSequence": "\(lastRead)",
        "lost": "\(lost)",
      ])
  }
}
