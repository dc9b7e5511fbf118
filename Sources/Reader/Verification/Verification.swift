internal import SluiceJournal
public import SluiceShared

/// Reads all that a store consists of, and names every damage (promise 8).
///
/// The log's segments up to what is published, frame by frame and page by page; the checkpoints; the
/// checksum of the whole database after each commit; `store.json`, the extensions and `current.sqlite`; what
/// is recorded of rejected batches. It goes on behind each damage. It writes nothing and may run beside
/// everything else. What nobody reads, the room between frames and behind them, is not looked at; neither is
/// what lies in the journal, of which each applier reads all that waits.
public final class Verification {
  /// Something that is not as it was written.
  public struct Damage: Hashable, Sendable {
    public var path: String
    public var offset: Int64?
    /// What is wrong.
    public var what: String
    /// The batches of which something is lost with it.
    public var lost: ClosedRange<TxID>?
    /// What there still is, and what to do.
    public var remains: String

    package init(
      path: String, offset: Int64?, what: String, lost: ClosedRange<TxID>?, remains: String
    ) {
      self.path = path
      self.offset = offset
      self.what = what
      self.lost = lost
      self.remains = remains
    }
  }

  /// What there was to read.
  public struct Summary: Hashable, Sendable {
    public var segments = 0
    public var checkpoints: [TxID] = []
    public var commits: UInt64 = 0
    /// Commits before the first checkpoint, or behind a damage: of these the checksum of the whole
    /// database could not be compared.
    public var uncheckedCommits: UInt64 = 0
    /// The first and the last batch that the log has.
    public var first: TxID?
    public var last = TxID.zero
    public var pages: UInt64 = 0
    public var bytes: Int64 = 0
    public var damages = 0
    /// Of what nobody reads any more.
    public var remarks = 0
  }

  let layout: StoreLayout
  let environment: Environment
  private let onDamage: (Damage) -> Void
  private let onRemark: (Damage) -> Void
  let onProgress: (_ done: Int64, _ total: Int64) -> Void
  var summary = Summary()
  private var total: Int64 = 0
  /// Those that have both their files.
  private(set) var known: Set<TxID> = []

  /// `onRemark`: told of what is not as it was written, and which nobody reads any more. A crash may leave that,
  /// and the store is whole.
  public init(
    store path: String, _ environment: Environment = .posix(),
    onRemark: @escaping (Damage) -> Void = { _ in },
    onDamage: @escaping (Damage) -> Void,
    onProgress: @escaping (_ done: Int64, _ total: Int64) -> Void = { _, _ in }
  ) {
    layout = StoreLayout(path)
    self.environment = environment
    self.onDamage = onDamage
    self.onRemark = onRemark
    self.onProgress = onProgress
  }

  var fileSystem: any FileSystem { environment.fileSystem }

  /// Throws where there is no store, or what is there cannot be read for another reason than its content.
  public func run() throws(StoreError) -> Summary {
    let files = try SegmentFiles(layout, fileSystem)
    let checkpoints = try listedCheckpoints()
    guard let id = try identity(files, checkpoints) else { return summary }
    total = files.bytes
    known = Set(checkpoints.whole)
    for txid in checkpoints.whole { total += try size(of: database(txid)) }
    let lines = try BegunLines(layout, fileSystem)
    let begun = checkpoints.whole.filter { isBegun($0, lines, database($0)) }
    for txid in begun where try verify(checkpoint: txid, id) {
      summary.checkpoints.append(txid)
    }
    try nameHalves(of: checkpoints, lines)
    try verifyCurrent()
    try verifyJournal()
    try HandledBatches(layout, fileSystem).verify {
      report($0, remains: "the batch is not on the list of `sluice rejected`")
    }
    let store = StoreHandle(layout: layout, id: id, environment: environment)
    try LogVerification(self, files, store).run()
    return summary
  }

  // MARK: what is told

  func report(
    _ path: String, _ offset: Int64? = nil, _ what: String, lost: ClosedRange<TxID>? = nil,
    remains: String
  ) {
    summary.damages += 1
    onDamage(Damage(path: path, offset: offset, what: what, lost: lost, remains: remains))
  }

  func remark(_ path: String, _ offset: Int64?, _ what: String, remains: String) {
    summary.remarks += 1
    onRemark(Damage(path: path, offset: offset, what: what, lost: nil, remains: remains))
  }

  func report(_ error: StoreError, remains: String) {
    report(error.path ?? layout.root, error.offset, error.message, remains: remains)
  }

  func read(_ count: Int) {
    summary.bytes += Int64(count)
    onProgress(min(summary.bytes, total), total)
  }

  /// What the states from batch `txid` on can be read from.
  func remains(from txid: TxID) -> String {
    guard let next = summary.checkpoints.first(where: { $0 >= txid }) else {
      return "no checkpoint is later"
    }
    return "the database as of batch \(next) and later is there, from its checkpoint on"
  }

  // MARK: store.json

  /// The store's id, from whatever says it; nil where nothing does.
  private func identity(_ files: SegmentFiles, _ checkpoints: CheckpointListing) throws(StoreError)
    -> StoreID?
  {
    var description: StoreDescription?
    do throws(StoreError) {
      description = try StoreDescription.read(layout, fileSystem)
    } catch {
      if error.isNoSuchFile, files.all.isEmpty, checkpoints.whole.isEmpty { throw error }
      report(
        layout.description, nil,
        error.isNoSuchFile ? "store.json is missing" : error.message,
        remains:
          "batches and pages do not depend on it, and nobody opens the store without it; put it back from a backup, or see `sluice repair`"
      )
    }
    let said = said(files, checkpoints)
    guard let store = said.max(by: { $0.value < $1.value })?.key ?? description?.id else {
      return nil
    }
    guard let description else { return store }
    if description.id != store {
      report(
        layout.description, nil,
        "store.json says that this is store \(description.id), and log and checkpoints that it is \(store)",
        remains: "put the right one back; log and checkpoints are read as those of \(store)")
    }
    try compare(description, checkpoints)
    return store
  }

  /// How many files say that they are of which store.
  private func said(_ files: SegmentFiles, _ checkpoints: CheckpointListing) -> [StoreID: Int] {
    var said: [StoreID: Int] = [:]
    for file in files.all {
      if let id = try? LogSegment.store(file.path, fileSystem) { said[id, default: 0] += 1 }
    }
    for txid in checkpoints.whole {
      if let id = try? CheckpointSidecar.store(sidecar(txid), fileSystem) {
        said[id, default: 0] += 1
      }
    }
    return said
  }

  /// What `store.json` says against its own form and against what lies beside it: earlier versions gave it no
  /// checksum.
  private func compare(_ description: StoreDescription, _ checkpoints: CheckpointListing)
    throws(StoreError)
  {
    let bytes = try fileSystem.open(layout.description, .shared).read(64 << 10, at: 0)
    let isNewer = !description.others.isEmpty && description.mayBeNewer(bytes)
    if !description.isWritten(as: bytes), !isNewer {
      report(
        layout.description, nil,
        "store.json is not as `init` writes it: something in it has another name, or was added",
        remains: "what it is read as is: \(description.json.dropLast())")
    }
    // What it says is the page size that the store began with.
    if let header = try? CheckpointSidecar(
      path: sidecar(.zero), store: description.id, fileSystem: fileSystem
    ).header, Int(header.pageSize) != description.pageSize {
      report(
        layout.description, nil,
        "store.json says that pages have \(description.pageSize) bytes, checkpoint \(TxID.zero) has \(header.pageSize)",
        remains: "put the right store.json back")
    }
    compare(description, readFrom: bytes, withCopyIn: checkpoints)
    try verifyExtensions(description)
  }

  /// Checkpoints have a copy of it; the newest one has the last. Of what `sluice config` changes, the
  /// lease and the right to transactions, the file itself has the last word.
  private func compare(
    _ description: StoreDescription, readFrom bytes: [UInt8],
    withCopyIn checkpoints: CheckpointListing
  ) {
    for txid in checkpoints.whole.reversed() {
      guard
        let header = try? CheckpointSidecar(
          path: sidecar(txid), store: description.id, fileSystem: fileSystem
        ).header, let copy = StoreDescription(copied: header.description)
      else { continue }
      guard !description.agrees(with: copy, readFrom: bytes) else { return }
      return report(
        layout.description, nil,
        "store.json does not say what it said when checkpoint \(txid) was made: \(copy.json.dropLast())",
        remains: "`sluice repair` writes it anew from that copy")
    }
  }

  /// It has its directories; what is in them is not looked at.
  private func verifyJournal() throws(StoreError) {
    for one in layout.directories where one.path.hasPrefix(layout.journal) {
      guard try !one.isThere(fileSystem) else { continue }
      // Whatever lies in it is missing, too.
      return report(
        one.path, nil, "\(one.name)/ is missing, and the batches that waited in it",
        remains:
          "writers and appliers cannot do without it: put it back, or `sluice repair` makes it anew"
      )
    }
  }

  private func verifyExtensions(_ description: StoreDescription) throws(StoreError) {
    var names: Set<String> = []
    do throws(StoreError) { names = Set(try fileSystem.list(layout.extensions)) } catch {
      guard error.isNoSuchFile else { throw error }
    }
    for one in description.extensions {
      let name = StoreLayout.extensionName(one)
      let path = "\(layout.extensions)/\(name)"
      guard names.remove(name) != nil else {
        report(
          path, nil, "the store's extension \(one.name) is missing",
          remains: "no applier starts without it; put back the file with this SHA-256")
        continue
      }
      let file = try fileSystem.open(path, .shared)
      let bytes = try file.read(
        Int(min(file.status().size, Int64(Limits.extensionBytes) + 1)), at: 0)
      let hash = bytes.withUnsafeBytes(SHA256.hash).map { hexadecimal($0, width: 2) }.joined()
      if hash != one.sha256 {
        report(
          path, nil, "the store's extension \(one.name) has another content than `init` recorded",
          remains: "no applier starts with it; put back the file with this SHA-256")
      }
    }
    for name in names.sorted() where name.hasSuffix(".so") {
      report(
        "\(layout.extensions)/\(name)", nil, "store.json names no such extension",
        remains: "if it was the store's, store.json is not: put the right one back")
    }
  }
}
