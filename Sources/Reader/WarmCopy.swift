internal import SluiceJournal
public import SluiceShared

/// A plain SQLite file that is kept as a store's database is, commit after commit.
///
/// Each state is a file of its own: made beside the one that there is, durable and proven by the checksum
/// that the log has of the database, and then renamed over it. So whoever opens the file meets one whole
/// state, and who has it open keeps the one that it opened. Pages that did not change are taken from the file
/// that this process made before.
///
/// A mark beside the file, `FILE.copy`, says whose copy it is, and is locked while one process keeps it. A file
/// without it is never replaced. Used by one thread at a time.
public final class WarmCopy {
  private let path: String
  private let store: PageStore
  private let environment: Environment
  private let mark: CopyMark
  /// The state that the file has, as far as this process has made it.
  private var made: Snapshot?

  /// How often one update begins anew where retention removes what it reads.
  private static let attempts = 5

  /// Keeps `path` as the store at `source` is. Throws `.invalid` where the file is there and no copy, `.foreign`
  /// where it is another store's, `.busy` while another process keeps it, and as `PageStore` does.
  public init(of source: String, at path: String, _ environment: Environment = .posix())
    throws(StoreError)
  {
    self.path = path
    self.environment = environment
    let fileSystem = environment.fileSystem
    store = try PageStore(path: source, environment: environment)
    let (directory, name) = Restoration.parts(path)
    let names = try Restoration.checkedNames(path, fileSystem)
    let markName = "\(name).copy"
    guard !names.contains(name) || names.contains(markName) else { throw Restoration.taken(path) }
    mark = try CopyMark(
      "\(directory)/\(markName)", of: store.description.id, isAlone: !names.contains(name),
      fileSystem)
    // What died before it was whole.
    for other in names where StoreLayout.temporaryTarget(other) == name {
      try fileSystem.unlink("\(directory)/\(other)")
    }
  }

  /// Makes the file the present state; nil where it is that already, or `shouldStop` said so: then nothing has
  /// changed. Returns the last batch in it.
  public func update(
    shouldStop: () -> Bool = { false },
    onProgress: (_ done: Int64, _ total: Int64) -> Void = { _, _ in }
  ) throws(StoreError) -> TxID? {
    var isStopped = false
    for attempt in 1... {
      do throws(StoreError) {
        let snapshot = try store.snapshot(.latest)
        guard snapshot.txid != made?.txid else {
          // The same state, perhaps from a newer checkpoint: the older one's files are let go.
          made = snapshot
          return nil
        }
        try replace(by: snapshot) { (written, proven) throws(StoreError) in
          isStopped = shouldStop()
          guard !isStopped else { throw StoreError(.busy, "the copy is given up", path: path) }
          onProgress(written + proven, 2 * snapshot.byteCount)
        }
        made = snapshot
        return snapshot.txid
      } catch {
        if isStopped { return nil }
        guard error.isRemoval, attempt < Self.attempts else { throw error }
      }
    }
    return nil
  }

  private func replace(
    by snapshot: Snapshot, _ onProgress: (Int64, Int64) throws(StoreError) -> Void
  ) throws(StoreError) {
    let fileSystem = environment.fileSystem
    let (directory, name) = Restoration.parts(path)
    let isThere = try Restoration.checkedNames(path, fileSystem).contains(name)
    // Who made it readable to others wants the next one to be.
    let mode = isThere ? try fileSystem.status(path).permissions & 0o777 : 0o600
    let earlier: (file: any File, of: Snapshot)? =
      if isThere, let made { (try fileSystem.open(path, .fixed), made) } else { nil }
    let temporary = "\(directory)/\(StoreLayout.temporaryName(name, environment.random()))"
    do throws(StoreError) {
      try SnapshotImage(snapshot, environment).write(
        to: temporary, mode: mode, reusing: earlier, onProgress: onProgress)
      try PosixFileSystem.replace(path, with: temporary)
    } catch {
      try? fileSystem.unlink(temporary)
      throw error
    }
    try fileSystem.syncDirectory(directory)
  }
}
