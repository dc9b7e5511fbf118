internal import CSQLite
internal import Glibc
public import SluiceJournal
internal import SluiceReader
internal import SluiceSQLite
public import SluiceShared

/// Makes stores.
public struct StoreCreation: Sendable {
  /// Bytes of a database page where the database is new; a power of two from 512 to 65536.
  public var pageSize = 4096
  public var lease = StoreDescription.LeaseKind.file
  public var foreignKeys = true
  /// An SQLite database to begin with: its content, page size, auto_vacuum and text encoding are
  /// kept, its journal mode is not. It may be in use, and in WAL mode.
  public var source: String?
  /// The most by which this clock and the file server's may differ; nil: not compared.
  public var clockTolerance: Duration? = .seconds(60)

  public init() {}

  /// Makes a store in `path`, which must not exist or be an empty directory: checkpoint 0, and log
  /// segment 1 with a released beacon. Until that beacon is written there is no store: what an
  /// interrupted call leaves behind is named by the next one.
  public func make(at path: String, environment: Environment = .posix()) throws(StoreError) {
    let layout = StoreLayout(path)
    let fileSystem = environment.fileSystem
    guard (512...65536).contains(pageSize), pageSize & (pageSize - 1) == 0 else {
      throw StoreError(.invalid, "a page size is a power of two from 512 to 65536, not \(pageSize)")
    }
    let isNew = try makeDirectories(layout, fileSystem)
    let id = StoreID(time_ms: environment.clock.wallTime_ms(), random: environment.random)
    let database = "\(layout.checkpoints)/new.tmp"
    defer { try? fileSystem.unlink(database) }
    let size = try makeDatabase(database)
    let description = StoreDescription(
      id: id, pageSize: size, lease: lease, foreignKeys: foreignKeys)
    let file = try fileSystem.create(layout.description, mode: 0o444)
    try file.write(Array(description.json.utf8), at: 0)
    try file.sync()

    let checkpoint = Checkpoint(layout: layout, store: id, environment: environment)
    try checkpoint.adopt(database, pageSize: size)
    var claim = LogClaim(
      layout: layout, store: id, environment: environment, holder: "init", engine: Engine.current)
    claim.clockTolerance = clockTolerance
    let clock = environment.clock
    guard
      let won = try claim.claim(
        successorOf: 0,
        firstBeacon: { holder, _ in
          holder.beacon(.released, ApplierStatus(), time_ms: clock.wallTime_ms())
        })
    else { throw StoreError(.invalid, "another `init` is making this store", path: path) }
    _ = won
    // Every name on the way to a batch: what is acknowledged later relies on them.
    try? fileSystem.unlink(database)
    try fileSystem.syncDirectory(layout.checkpoints)
    try fileSystem.syncDirectory(layout.journal)
    try fileSystem.syncDirectory(layout.log)
    try fileSystem.syncDirectory(layout.root)
    do throws(StoreError) { try fileSystem.syncDirectory(parent(of: layout.root)) } catch {
      // Where the directory was there before, it may be another's affair, and out of reach.
      if isNew || ![EACCES, EPERM].contains(error.errno) { throw error }
    }
  }

  private func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Returns whether the store's directory was not there before.
  private func makeDirectories(_ layout: StoreLayout, _ fileSystem: any FileSystem)
    throws(StoreError) -> Bool
  {
    var isNew = true
    do throws(StoreError) { try fileSystem.makeDirectory(layout.root, mode: 0o755) } catch {
      guard error.isExistingFile else { throw error }
      guard try fileSystem.list(layout.root).isEmpty else {
        throw StoreError(
          .invalid, "the directory is not empty; `init` wants a new or an empty one",
          path: layout.root)
      }
      isNew = false
    }
    // Everybody who can enter makes files there. They are of the directory's group, which is the
    // applier's and no writer's: so nobody but their owner and the applier can read or change them
    // (mode 0660), and nobody else removes or renames them (sticky).
    try fileSystem.makeDirectory(layout.journal, mode: 0o3777)
    try fileSystem.makeDirectory(layout.quarantine, mode: 0o755)
    try fileSystem.makeDirectory(layout.log, mode: 0o755)
    try fileSystem.makeDirectory(layout.oldLog, mode: 0o755)
    try fileSystem.makeDirectory(layout.checkpoints, mode: 0o755)
    return isNew
  }

  /// Makes the first database, a plain SQLite file; returns its page size.
  private func makeDatabase(_ path: String) throws(StoreError) -> Int {
    do throws(SQLiteError) {
      let database = try Connection(path: path, flags: [.readWrite, .create, .noMutex])
      if let source {
        try copy(source, to: database)
      } else {
        try database.execute("PRAGMA page_size = \(pageSize)")
      }
      // A copy of a database in WAL mode says so in its header; readers here have no WAL.
      try database.execute("PRAGMA journal_mode = DELETE")
      try dropBookkeeping(of: database)
      let taken = try database.query(
        "SELECT name FROM sqlite_schema WHERE name LIKE '\\_sluice\\_%' ESCAPE '\\'")
      if case .text(let name)? = taken.first?.first {
        throw SQLiteError(
          code: SQLITE_ERROR,
          message: "it has \(name), and names that begin with \(Bookkeeping.prefix) are reserved")
      }
      try database.execute("BEGIN; \(Bookkeeping.schema) COMMIT")
      let check = try database.query("PRAGMA quick_check(1)")
      guard check.first?.first == .text("ok") else {
        throw SQLiteError(code: SQLITE_CORRUPT, message: "it is damaged: \(check)")
      }
      guard case .integer(let size)? = try database.scalar("PRAGMA page_size") else {
        return pageSize
      }
      try database.close()
      return Int(size)
    } catch {
      let code: StoreError.Code =
        switch error.primary {
        case SQLITE_NOTADB, SQLITE_CORRUPT: .damaged
        case SQLITE_CANTOPEN: .noSuchStore
        case SQLITE_ERROR: .invalid
        default: .io
        }
      throw StoreError(
        code, "the first database cannot be made: \(error.message)", path: source ?? path)
    }
  }

  /// A checkpoint of another store becomes a store: its content stays, what was remembered of the
  /// other store's writers and keys does not.
  private func dropBookkeeping(of database: Connection) throws(SQLiteError) {
    let tables = try database.query(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name IN ('_sluice_state', '_sluice_writers', '_sluice_keys', '_sluice_rejected')"
    )
    guard tables.count == 4 else { return }
    for case .text(let name)? in tables.map(\.first) { try database.execute("DROP TABLE \(name)") }
  }

  private func copy(_ source: String, to database: Connection) throws(SQLiteError) {
    let original = try Connection(path: source, flags: [.readOnly, .noMutex])
    if case .integer(let size)? = try original.scalar("PRAGMA page_size") {
      try database.execute("PRAGMA page_size = \(size)")
    }
    try original.backup(to: database)
    try original.close()
  }
}

extension Checkpoint {
  /// Makes checkpoint 0 of a database file.
  func adopt(_ path: String, pageSize: Int) throws(StoreError) {
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
    let sidecar = "\(layout.checkpoints)/\(StoreLayout.sidecarName(.zero))"
    let sums = try fileSystem.create(sidecar, mode: 0o444)
    try CheckpointSidecar.write(
      CheckpointSidecar.Header(
        store: store, extent: .empty, pageSize: UInt32(pageSize),
        pageCount: UInt32(checksums.count), checksum: checksum, rejected: 0),
      checksums: checksums, to: sums)
    try sums.sync()
    try fileSystem.setPermissions(path, mode: 0o444)
    try fileSystem.link(path, to: "\(layout.checkpoints)/\(StoreLayout.checkpointName(.zero))")
    try fileSystem.syncDirectory(layout.checkpoints)
    try pointCurrent(to: .zero)
  }
}
