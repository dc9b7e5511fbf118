import SluiceFakes
import SluiceJournal
import SluiceShared

/// What was acknowledged and published in a run of the journal's handshake alone.
final class JournalWitness {
  /// What `flush` returned for.
  private(set) var acknowledged: [BatchID: UInt64] = [:]
  /// What is in a published commit.
  private(set) var published: [BatchID: UInt64] = [:]
  fileprivate(set) var removals = 0
  var violated: (Violation) -> Void = { _ in }
  var disk: MemoryDisk
  private let layout: StoreLayout
  private var lastContent: UInt64 = 0

  init(_ disk: MemoryDisk, layout: StoreLayout) {
    self.disk = disk
    self.layout = layout
  }

  /// What the next batch is: no two are the same.
  func nextContent() -> UInt64 {
    lastContent += 1
    return lastContent
  }

  static func bytes(_ content: UInt64, padding: Int) -> [UInt8] {
    var writer = ByteWriter()
    writer.append(content)
    writer.append(raw: [UInt8](repeating: 7, count: padding))
    return writer.bytes
  }

  /// A flush of `contents`, the first of which is `first`, returned.
  func acknowledge(_ contents: [UInt64], as first: BatchID) {
    for (i, content) in contents.enumerated() {
      let sequence = first.sequence.advanced(by: UInt64(i))
      acknowledged[BatchID(writer: first.writer, sequence: sequence)] = content
    }
    checkNothingIsLost("an acknowledgement")
  }

  fileprivate func publish(_ batches: [BatchID: UInt64]) {
    for (batch, content) in batches {
      if let before = published[batch], before != content {
        violated(Violation(.twoHistories, "\(batch) is \(before) and \(content)"))
      }
      published[batch] = content
    }
  }

  /// Every acknowledged batch is published, or in a file that is there.
  func checkNothingIsLost(_ occasion: String) {
    let open = acknowledged.filter { published[$0.key] != $0.value }
    guard !open.isEmpty else { return }
    let fileSystem = MemoryFileSystem(disk)
    var there: [BatchID: UInt64] = [:]
    for name in disk.names(in: layout.journal) where name.hasSuffix(".seg") {
      guard let file = try? fileSystem.open("\(layout.journal)/\(name)", .shared),
        let batches = try? JournalVisit.batches(in: file)
      else { continue }
      there.merge(batches) { first, _ in first }
    }
    for (batch, content) in open.sorted(by: { $0.key.sequence < $1.key.sequence })
    where there[batch] != content {
      violated(Violation(.lost, "after \(occasion): acknowledged \(batch) is nowhere"))
    }
  }
}

/// What stands for an applier here: it reads a segment, closes it, reads it again and removes it, in the
/// order that the handshake prescribes. Of a real applier's work only that matters.
struct JournalVisit {
  private let path: String
  private let environment: Environment
  private let witness: JournalWitness
  /// Or somebody else does, and this one believes so only.
  private let leads: Bool
  private let file: any File
  private let read: [BatchID: UInt64]

  /// Reads the segment at `path`, and publishes what is in it.
  init(_ path: String, _ environment: Environment, _ witness: JournalWitness, leads: Bool)
    throws(StoreError)
  {
    self.path = path
    self.environment = environment
    self.witness = witness
    self.leads = leads
    file = try environment.fileSystem.open(path, .shared)
    read = try JournalVisit.batches(in: file)
    if leads { witness.publish(read) }
  }

  func retire() throws(StoreError) {
    try Mark.write(
      to: try environment.fileSystem.open(path, .write), by: "applier", time_ms: 0)
    var batches = read
    if environment.makes(.rereadAfterMark) { batches = try JournalVisit.batches(in: file) }
    if leads { witness.publish(batches) }
    let isPublished = batches.keys.allSatisfy { witness.published[$0] != nil }
    guard isPublished || !environment.makes(.removeOnlyPublished) else { return }
    try environment.fileSystem.unlink(path)
    witness.removals += 1
    witness.checkNothingIsLost("a removal")
  }

  /// The batches in a segment, with the number that each one is.
  fileprivate static func batches(in file: any File) throws(StoreError) -> [BatchID: UInt64] {
    var found: [BatchID: UInt64] = [:]
    for batch in try JournalContent.batches(in: file) {
      found[batch.id] = batch.bytes.withUnsafeBytes {
        UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self))
      }
    }
    return found
  }
}
