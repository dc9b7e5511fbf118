internal import Glibc
public import SluiceJournal
internal import SluiceReader
public import SluiceShared

/// Makes stores.
public struct StoreCreation: Sendable {
  /// Bytes of a database page where the database is new; a power of two from 512 to 65536.
  public var pageSize = 4096
  public var lease = StoreDescription.LeaseKind.file
  public var foreignKeys = true
  /// Who may commit interactive transactions.
  public var transactions = TransactionRight.all
  /// An SQLite database to begin with: its content, page size, auto_vacuum and text encoding are
  /// kept, its journal mode is not. It may be in use, and in WAL mode.
  public var source: String?
  /// How long a source that others have locked is waited for.
  public var timeout: Duration = .seconds(30)
  /// Files with loadable extensions of SQLite, which the store keeps and each applier loads.
  public var extensions: [String] = []
  /// The most by which this clock and the file server's may differ; nil: not compared.
  public var clockTolerance: Duration? = .seconds(60)
  /// Called with what the user is to know of the source, a sentence at a time.
  public var note: @Sendable (String) -> Void = { _ in }

  public init() {}

  /// Makes a store in `path`, which must not exist or be an empty directory: checkpoint 0, and log
  /// segment 1 with a released beacon. Until that beacon is written there is no store: a call that
  /// fails before it removes what it made, and what an interrupted one leaves is named by the next.
  ///
  /// Before that beacon the database is opened as an applier would, so that no store is made that
  /// none could open.
  public func make(at path: String, environment: Environment = .posix()) throws(StoreError) {
    let layout = StoreLayout(path)
    let fileSystem = environment.fileSystem
    guard (512...65536).contains(pageSize), pageSize & (pageSize - 1) == 0 else {
      throw StoreError(.invalid, "a page size is a power of two from 512 to 65536, not \(pageSize)")
    }
    let loaded = try StoreExtensions.candidates(extensions, fileSystem)
    let original = try source.map { (path) throws(StoreError) in
      try SourceDatabase(path, timeout: timeout, note: note)
    }
    var made = MadeFiles(layout, fileSystem)
    do throws(StoreError) {
      try makeDirectories(layout, &made)
      let id = StoreID(time_ms: environment.clock.wallTime_ms(), random: environment.random)
      let store = StoreHandle(layout: layout, id: id, environment: environment)
      try fill(store, original, loaded)
      guard try begin(store) else {
        throw StoreError(.invalid, "another `init` is making this store", path: path)
      }
    } catch {
      throw made.removed(after: error)
    }
    // From here on it is a store, and others may use it: nothing is taken away any more.
    // Every name on the way to a batch: what is acknowledged later relies on them.
    try fileSystem.syncDirectory(layout.checkpoints)
    try fileSystem.syncDirectory(layout.journal)
    try fileSystem.syncDirectory(layout.log)
    try fileSystem.syncDirectory(layout.root)
    do throws(StoreError) { try fileSystem.syncDirectory(parent(of: layout.root)) } catch {
      // Where the directory was there before, it may be another's affair, and out of reach.
      if made.hasRoot || ![EACCES, EPERM].contains(error.errno) { throw error }
    }
  }

  /// Everything but the log.
  private func fill(
    _ store: StoreHandle, _ original: borrowing SourceDatabase?,
    _ loaded: [StoreExtensions.Candidate]
  ) throws(StoreError) {
    let (layout, fileSystem) = (store.layout, store.fileSystem)
    let database = "\(layout.checkpoints)/\(MadeFiles.databaseName)"
    let size = try FirstDatabase(
      path: database, pageSize: pageSize, extensions: loaded.map(\.loadable),
      enforcesForeignKeys: foreignKeys, note: note
    ).make(from: original)
    if !loaded.isEmpty { try StoreExtensions.write(loaded, to: layout, fileSystem) }
    var description = StoreDescription(
      id: store.id, pageSize: size, lease: lease, foreignKeys: foreignKeys,
      extensions: loaded.map(\.record))
    description.transactions = transactions
    let file = try fileSystem.create(layout.description, mode: 0o444)
    try file.write(Array(description.json.utf8), at: 0)
    try file.sync()
    let first = Checkpoint(of: store)
    try first.adopt(database, description, as: .empty, rejected: 0)
    try first.pointCurrent(to: .zero)
    try fileSystem.unlink(database)

    var options = ApplierOptions(holder: "init")
    options.extensions = try StoreExtensions.open(description, in: layout, store.environment)
    let session = try Session(
      try Snapshot(checkpoint: .zero, of: store), Session.Settings(description, options),
      store.environment)
    try session.prove()
    guard original != nil else { return }
    for finding in try session.survey() { note(finding) }
  }

  /// Log segment 1, with a released beacon; false where another made it.
  private func begin(_ store: StoreHandle) throws(StoreError) -> Bool {
    var claim = LogClaim(of: store, holder: "init", engine: Engine.current)
    claim.clockTolerance = clockTolerance
    let clock = store.environment.clock
    var status = ApplierStatus()
    status.retention = RetentionSettings().stated
    return try claim.claim(
      successorOf: 0,
      firstBeacon: { holder, _ in
        holder.beacon(.released, status, time_ms: clock.wallTime_ms())
      }) != nil
  }

  private func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  private func makeDirectories(_ layout: StoreLayout, _ made: inout MadeFiles) throws(StoreError) {
    do throws(StoreError) { try made.directory(layout.root, mode: 0o755) } catch {
      guard error.isExistingFile else { throw error }
      let names = try made.fileSystem.list(layout.root)
      guard names.isEmpty else {
        throw StoreError(
          .invalid, "the directory is not empty; \(MadeFiles.advice(names))", path: layout.root)
      }
    }
    for one in layout.directories { try made.directory(one.path, mode: one.mode) }
    if !extensions.isEmpty { try made.directory(layout.extensions, mode: 0o755) }
  }
}

extension Checkpoint {
  /// Makes the checkpoint of batch `extent.txid` of a database file, which nobody else uses.
  func adopt(
    _ path: String, _ description: StoreDescription, as extent: LogExtent, rejected: UInt64
  ) throws(StoreError) {
    let pageSize = description.pageSize
    let fileSystem = environment.fileSystem
    let file = try fileSystem.open(path, .write)
    try file.sync()
    let lockByte = DatabaseChecksum.lockBytePage(pageSize: pageSize)
    var checksum = DatabaseChecksum()
    var checksums: [UInt32] = []
    var offset: Int64 = 0
    while true {
      let piece = try file.read(1 << 20, at: offset)
      piece.withUnsafeBytes { raw in
        for start in stride(from: 0, to: raw.count / pageSize * pageSize, by: pageSize) {
          let crc = crc32c(UnsafeRawBufferPointer(rebasing: raw[start..<start + pageSize]))
          checksums.append(crc)
          if UInt32(checksums.count) != lockByte {
            checksum.toggle(page: UInt32(checksums.count), crc: crc)
          }
        }
      }
      offset += Int64(piece.count)
      if piece.count < 1 << 20 { break }
    }
    let sidecar = layout.sidecar(of: extent.txid)
    let sums = try fileSystem.create(sidecar, mode: 0o444)
    try CheckpointSidecar.write(
      CheckpointSidecar.Header(
        store: store.id, extent: extent, pageSize: UInt32(pageSize),
        pageCount: UInt32(checksums.count), checksum: checksum, rejected: rejected,
        description: description.json),
      checksums: checksums, to: sums)
    try sums.sync()
    try fileSystem.setPermissions(path, mode: 0o444)
    // The sidecar first: a database without one is no checkpoint.
    try fileSystem.syncDirectory(layout.checkpoints)
    try fileSystem.link(path, to: layout.database(of: extent.txid))
    try fileSystem.syncDirectory(layout.checkpoints)
  }
}
