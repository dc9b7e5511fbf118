internal import SluiceJournal
internal import SluiceShared

/// What a backup consists of, as it is found at one moment: everything that a store needs but its journal.
///
/// A published position is read first, and the history goes up to that. So it is consistent whatever
/// writers and the applier do meanwhile: nothing of it is written any more.
struct BackupContent {
  let description: StoreDescription
  /// `store.json` as it is.
  let descriptionBytes: [UInt8]
  /// The newest that is not later than the published position.
  let checkpoint: CheckpointCopy
  /// The history up to the published position, oldest first.
  let segments: [LogSegmentCopy]
  /// Of the first of `segments`: which one is before it.
  let parent: LogPosition?
  let extent: LogExtent
  /// For each of `segments`: the last batch of what it took over from the one before it, published there or
  /// carried over.
  let carried: [TxID]
  private let store: StoreHandle

  /// `segment`: the copy that is made longer ends in it; nil: the history from the checkpoint on.
  init(_ layout: StoreLayout, from segment: UInt64?, _ environment: Environment) throws(StoreError)
  {
    descriptionBytes = try environment.fileSystem.open(layout.description, .shared)
      .read(64 << 10, at: 0)
    description = try StoreDescription.read(layout, environment.fileSystem)
    store = StoreHandle(layout: layout, id: description.id, environment: environment)
    let log = Log(of: store)
    let present = try log.present()
    extent = present.extent
    checkpoint = try CheckpointCopy(of: store, upTo: present.extent.txid)
    let spans =
      if let segment {
        try log.kept(from: segment, upTo: present)
      } else {
        try log.history(after: checkpoint.txid, upTo: present)
      }
    parent = spans.first?.start.parent
    carried = spans.map { $0.start.carried.txid }
    var copies: [LogSegmentCopy] = []
    for (i, span) in spans.enumerated() {
      let isLast = i + 1 == spans.count
      let said = isLast ? present.beacon : try span.segment.control().beacon
      var status = said?.status ?? ApplierStatus()
      status.checkpoint = min(status.checkpoint, checkpoint.txid)
      copies.append(
        LogSegmentCopy(
          span, extent: isLast ? present.extent : spans[i + 1].inherited, status: status,
          time_ms: said?.time_ms ?? span.segment.header.created_ms, environment))
    }
    segments = copies
  }

  /// The store's extensions, read and compared with what `store.json` says of them.
  func extensions() throws(StoreError) -> [(name: String, bytes: [UInt8])] {
    var found: [(String, [UInt8])] = []
    for one in description.extensions {
      let name = StoreLayout.extensionName(one)
      let file = try store.fileSystem.open("\(store.layout.extensions)/\(name)", .fixed)
      let bytes = try file.read(
        Int(min(file.status().size, Int64(Limits.extensionBytes) + 1)), at: 0)
      let hash = bytes.withUnsafeBytes(SHA256.hash).map { hexadecimal($0, width: 2) }.joined()
      guard hash == one.sha256 else {
        throw StoreError(
          .damaged,
          "the store's extension \(one.name) has another content than `init` recorded; put back the file with this SHA-256",
          path: file.path)
      }
      found.append((name, bytes))
    }
    return found
  }

  /// The directories of a store and their modes, as `init` makes them.
  var directories: [(path: String, mode: UInt32)] {
    var made = store.layout.directories.map { (path: $0.name, mode: $0.mode) }
    if !description.extensions.isEmpty { made.append(("extensions", 0o755)) }
    return made
  }
}
