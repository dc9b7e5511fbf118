internal import Glibc
internal import SluiceJournal
public import SluiceShared

/// A copy of a running store, without its journal: the newest checkpoint, and the log behind it up to what
/// is published when the copy begins.
///
/// It needs the right to read the store, takes no lock there and waits for nobody. `docs/OPERATIONS.md` says
/// what a copy is good for.
public struct Backup: Sendable {
  private let store: StoreHandle

  /// What was copied.
  public struct Summary: Sendable {
    /// The last batch in it.
    public var txid = TxID.zero
    /// Bytes that were written.
    public var bytes: Int64 = 0
    public var segments = 0
    public var checkpoints = 0
    /// There was no copy before.
    public var isFirst = false
  }

  /// Of the store at `path`. Throws as `PageStore` does.
  public init(store path: String, _ environment: Environment = .posix()) throws(StoreError) {
    store = try StoreHandle(at: StoreLayout(path), environment)
  }

  /// How often a copy begins anew where retention removes what it reads.
  private static let attempts = 5

  /// Copies into `directory`, which is made where it is not there; where it has a copy of this store
  /// already, what is new is added. All of it is durable when this returns.
  ///
  /// Throws `.snapshotExpired` where the store does not keep any more what the copy would go on from.
  public func write(
    into directory: String, onProgress: (_ done: Int64, _ total: Int64) -> Void = { _, _ in }
  ) throws(StoreError) -> Summary {
    let destination = try BackupDirectory(directory, of: store)
    var attempt = 1
    while true {
      do throws(StoreError) {
        guard let whole = try destination.whole() else {
          return try writeAnew(destination, onProgress)
        }
        return try add(to: whole, destination, onProgress)
      } catch {
        guard error.isRemoval, attempt < Self.attempts else { throw error }
      }
      attempt += 1
    }
  }

  private func writeAnew(
    _ destination: BackupDirectory, _ onProgress: (Int64, Int64) -> Void
  ) throws(StoreError) -> Summary {
    let content = try BackupContent(store.layout, from: nil, store.environment)
    var summary = Summary(txid: content.extent.txid, isFirst: true)
    var progress = Progress(
      total: content.segments.reduce(content.checkpoint.byteCount) { $0 + $1.byteCount })
    try destination.clear()
    try destination.makeDirectories(of: content)
    if !store.environment.makes(.describedLast) {
      try destination.describe(content.descriptionBytes)
    }
    try destination.write(extensions: content.extensions())
    try content.checkpoint.write(to: destination.layout.checkpoints) { (count) in
      onProgress(progress.add(count), progress.total)
    }
    summary.checkpoints = 1
    var predecessor: UInt64?
    for segment in content.segments {
      try destination.add(segment, after: predecessor) { (count) in
        onProgress(progress.add(count), progress.total)
      }
      predecessor = segment.number
    }
    summary.segments = content.segments.count
    try destination.point(to: content.checkpoint.txid)
    try destination.describe(content.descriptionBytes)
    try destination.finish([])
    summary.bytes = progress.total / 2
    return summary
  }

  private func add(
    to whole: BackupDirectory.Whole, _ destination: BackupDirectory,
    _ onProgress: (Int64, Int64) -> Void
  ) throws(StoreError) -> Summary {
    let number = whole.segment.number
    let content = try BackupContent(store.layout, from: number, store.environment)
    try connect(whole, to: content)
    try destination.tidy(whole)
    let first = content.segments.first { $0.number == number }
    let grown = max(0, (first?.byteCount ?? 0) - whole.beacon.position.end)
    let later = content.segments.filter { $0.number > number }
    let hasCheckpoint = whole.checkpoints.contains(content.checkpoint.txid)
    var summary = Summary(txid: content.extent.txid)
    var progress = Progress(
      total: later.reduce(grown + (hasCheckpoint ? 0 : content.checkpoint.byteCount)) {
        $0 + $1.byteCount
      })
    if let first, grown > 0 {
      try first.extend(destination.path(of: first), from: whole.beacon) { (count) in
        onProgress(progress.add(count), progress.total)
      }
    }
    var predecessor = number
    for segment in later {
      try destination.add(segment, after: predecessor) { (count) in
        onProgress(progress.add(count), progress.total)
      }
      predecessor = segment.number
    }
    if !hasCheckpoint {
      try content.checkpoint.write(to: destination.layout.checkpoints) { (count) in
        onProgress(progress.add(count), progress.total)
      }
    }
    try destination.point(to: max(content.checkpoint.txid, whole.checkpoints.max() ?? .zero))
    try destination.describe(content.descriptionBytes)
    try destination.finish([whole.predecessor, number].compactMap(\.self))
    summary.segments = later.count + (grown > 0 ? 1 : 0)
    summary.checkpoints = hasCheckpoint ? 0 : 1
    summary.bytes = progress.total / 2
    return summary
  }

  /// Throws unless the store's history goes on where the copy ends.
  private func connect(_ whole: BackupDirectory.Whole, to content: BackupContent)
    throws(StoreError)
  {
    let there = whole.beacon.position
    let foreign = StoreError(
      .foreign,
      "the copy ends with batch \(whole.beacon.extent.txid) of another history than the store's: one of the two was put back from an older copy, or led by itself; back up into a new directory",
      path: whole.segment.file.path)
    // Where the history leaves that segment before the copy does, what the copy has of it was published late
    // and carried over by the next one, or it is a history that went on from an older copy of the store.
    func carriedOver(_ last: TxID?) throws(StoreError) {
      guard let last, last >= whole.beacon.extent.txid else { throw foreign }
    }
    guard let first = content.segments.first, first.number >= there.segment else { throw foreign }
    if first.number == there.segment {
      let here = first.beacon.position
      guard here.nonce == there.nonce, here.end != there.end || here.checksum == there.checksum
      else { throw foreign }
      if here.end < there.end { try carriedOver(content.carried.dropFirst().first) }
    } else {
      guard let parent = content.parent, parent.segment >= there.segment else { throw foreign }
      guard parent.segment != there.segment || parent.nonce == there.nonce else { throw foreign }
      // What the copy has of its last segment may go further: what was published late was carried over.
      guard parent.segment == there.segment, parent.end <= there.end else {
        throw StoreError(
          .snapshotExpired,
          "the copy ends with batch \(whole.beacon.extent.txid), and the store does not keep any more what comes next; back up into a new directory, and more often than `--keep`",
          path: whole.segment.file.path)
      }
      if parent.end < there.end { try carriedOver(content.carried.first) }
    }
    guard content.extent.txid >= whole.beacon.extent.txid else { throw foreign }
  }

  /// Each byte is written, and then read back.
  private struct Progress {
    let total: Int64
    private var done: Int64 = 0

    init(total bytes: Int64) { total = 2 * bytes }

    mutating func add(_ count: Int64) -> Int64 {
      done = min(total, done + count)
      return done
    }
  }
}

extension Backup {
  /// Passes a whole copy on as a tar archive, in pieces; `store.json` comes last. What is sent was read
  /// and found whole before.
  ///
  /// Throws `.snapshotExpired` where retention removes what is read; then the archive is not whole.
  public func stream(
    to output: @escaping ([UInt8]) throws(StoreError) -> Void,
    onProgress: (_ done: Int64, _ total: Int64) -> Void = { _, _ in }
  ) throws(StoreError) -> Summary {
    let content = try BackupContent(store.layout, from: nil, store.environment)
    let extensions = try content.extensions()
    let total = content.segments.reduce(content.checkpoint.byteCount) { $0 + $1.byteCount }
    var tar = TarWriter(
      owner: geteuid(), group: getegid(), time_s: store.environment.clock.wallTime_ms() / 1000,
      output)
    for (name, mode) in content.directories { try tar.directory(name, mode: mode) }
    for (name, bytes) in extensions { try tar.file("extensions/\(name)", mode: 0o444, bytes) }
    let checkpoint = content.checkpoint
    try tar.begin(
      "checkpoints/\(StoreLayout.sidecarName(checkpoint.txid))", mode: 0o444,
      size: checkpoint.sidecarBytes)
    try checkpoint.readSidecar { (piece, _) throws(StoreError) in try tar.append(piece) }
    try tar.end()
    let current = StoreLayout.currentTarget(checkpoint.txid)
    try tar.begin(current, mode: 0o444, size: checkpoint.byteCount)
    try checkpoint.readDatabase { (piece, _) throws(StoreError) in
      try tar.append(piece)
      onProgress(tar.written, total)
    }
    try tar.end()
    for (i, segment) in content.segments.enumerated() {
      let isLast = i + 1 == content.segments.count
      try segment.prove(
        segment.source, from: Block.firstLogFrame, after: segment.source.headerChecksum
      ) { _ in }
      try tar.begin("log/\(segment.name)", mode: 0o644, size: segment.byteCount)
      try tar.append(segment.head(closedBy: isLast ? nil : "backup"))
      try segment.read(from: Block.firstLogFrame) { (piece, _) throws(StoreError) in
        try tar.append(piece)
        onProgress(min(tar.written, total), total)
      }
      try tar.end()
    }
    try tar.symbolicLink("current.sqlite", to: current)
    try tar.file(BackupDirectory.markName, mode: 0o600, CopyMark.content(store.id, isWhole: true))
    try tar.file("store.json", mode: 0o444, content.descriptionBytes)
    try tar.finish()
    return Summary(
      txid: content.extent.txid, bytes: tar.written, segments: content.segments.count,
      checkpoints: 1, isFirst: true)
  }
}
