internal import SluiceJournal
public import SluiceShared

/// A snapshot as a database of its own, anywhere.
public enum Restoration {
  /// Writes `snapshot` to `path`, which must not exist. The file has another name beside it until it is
  /// durable and has the checksum of its commit.
  ///
  /// Only this user may read the file.
  ///
  /// Throws `.invalid` where something has the name already, and where a journal of another database lies
  /// beside it: SQLite would play that into this one.
  package static func write(
    _ snapshot: Snapshot, to path: String, _ environment: Environment,
    onProgress: (_ written: Int64, _ proven: Int64) -> Void = { _, _ in }
  ) throws(StoreError) {
    _ = try making(path, environment) { (temporary) throws(StoreError) in
      try SnapshotImage(snapshot, environment, width: Limits.restoredPieces).write(
        to: temporary, mode: 0o600, onProgress: onProgress)
    }
  }

  /// Writes what the store at `store` has at `freshness` to `path`; returns the last batch in it. Throws as the other
  /// two, and as `Database` does for a state that is not kept.
  @discardableResult
  public static func write(
    _ freshness: Freshness = .latest, ofStoreAt store: String, to path: String,
    environment: Environment = .posix(), note: (StoreError) -> Void = { _ in },
    onProgress: (_ written: Int64, _ proven: Int64) -> Void = { _, _ in }
  ) throws(StoreError) -> TxID {
    let pages = try PageStore(path: store, environment: environment)
    return try write(
      freshness, of: pages, to: path, environment, note: note, onProgress: onProgress
    ).txid
  }

  /// How often it begins anew where retention removes what it reads.
  private static let attempts = 5

  /// Writes what `store` has at `freshness` to `path`, as `write(_:to:)` does; `begins` is told of each beginning.
  ///
  /// It begins anew where retention removes what it reads meanwhile, as long as anything that is kept gives the
  /// same state. Where a page of a checkpoint is damaged, the state is made from an older one and the log
  /// behind it, and `note` is told; where there is none, that damage is thrown.
  @discardableResult
  package static func write(
    _ freshness: Freshness, of store: PageStore, to path: String, _ environment: Environment,
    note: (StoreError) -> Void = { _ in }, begins: (Snapshot) -> Void = { _ in },
    onProgress: (_ written: Int64, _ proven: Int64) -> Void = { _, _ in }
  ) throws(StoreError) -> Snapshot {
    let checkpoints = store.layout.checkpoints + "/"
    var damaged: Set<TxID> = []
    var damage: StoreError?
    var attempt = 1
    while true {
      let wanted = try store.snapshot(freshness)
      let snapshot: Snapshot
      do throws(StoreError) {
        snapshot =
          try damaged.isEmpty ? wanted : older(wanted, of: store, than: damaged, environment)
      } catch {
        if error.isRemoval, attempt < attempts {
          attempt += 1
          continue
        }
        // No other checkpoint gives the state: what is wrong is the damage.
        guard error.isRemoval || error.code == .damaged else { throw error }
        throw damage ?? error
      }
      begins(snapshot)
      do throws(StoreError) {
        try write(snapshot, to: path, environment, onProgress: onProgress)
        return snapshot
      } catch {
        if error.code == .damaged, error.path?.hasPrefix(checkpoints) == true,
          damaged.insert(snapshot.checkpointTxID).inserted
        {
          damage = damage ?? error
          note(error)
          continue
        }
        guard error.code == .snapshotExpired, attempt < attempts else { throw error }
        attempt += 1
      }
    }
  }

  /// The same state, from a checkpoint that is not among the damaged ones.
  private static func older(
    _ snapshot: Snapshot, of store: PageStore, than damaged: Set<TxID>, _ environment: Environment
  ) throws(StoreError) -> Snapshot {
    let log = Log(of: store.handle)
    let found = try Snapshot.recorded(
      in: log, upTo: log.present(), asOf: .txid(snapshot.txid), except: damaged)
    guard found.txid == snapshot.txid else {
      throw StoreError(.snapshotExpired, "the state is not kept", path: store.layout.checkpoints)
    }
    return found
  }

  /// Has `write` make a file of another name beside `path`, durably, and then gives it that name. Whatever
  /// fails, nothing is left of it.
  package static func making<R>(
    _ path: String, _ environment: Environment, _ write: (String) throws(StoreError) -> R
  ) throws(StoreError) -> R {
    let fileSystem = environment.fileSystem
    let (directory, name) = parts(path)
    let names = try checkedNames(path, fileSystem)
    if names.contains(name) { throw taken(path) }
    let temporary = "\(directory)/\(StoreLayout.temporaryName(name, environment.random()))"
    defer { try? fileSystem.unlink(temporary) }
    let result = try write(temporary)
    do throws(StoreError) { try fileSystem.link(temporary, to: path) } catch {
      throw error.isExistingFile ? taken(path) : error
    }
    try fileSystem.syncDirectory(directory)
    return result
  }

  /// The names beside `path`. Throws where it is none for a file, and where a journal lies beside it.
  static func checkedNames(_ path: String, _ fileSystem: any FileSystem) throws(StoreError)
    -> Set<String>
  {
    let (directory, name) = parts(path)
    guard !name.isEmpty, name != ".", name != ".." else {
      throw StoreError(.invalid, "this is no name for a file", path: path)
    }
    let names = Set(try fileSystem.list(directory))
    for journal in ["-journal", "-wal"] where names.contains(name + journal) {
      throw StoreError(
        .invalid,
        "the journal of another database lies beside the file that is to be made, and SQLite would play it into that; move it away, or choose another name",
        path: path + journal)
    }
    return names
  }

  static func taken(_ path: String) -> StoreError {
    StoreError(
      .invalid, "there is something of this name, and nothing is overwritten; choose another name",
      path: path)
  }

  static func parts(_ path: String) -> (directory: String, name: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return (".", path) }
    let directory = slash == path.startIndex ? "/" : String(path[..<slash])
    return (directory, String(path[path.utf8.index(after: slash)...]))
  }
}
