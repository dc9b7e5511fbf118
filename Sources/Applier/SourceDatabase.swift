internal import CSQLite
internal import Glibc
internal import SluiceSQLite
internal import SluiceShared

/// The database that a store begins with: open, and in a read transaction, so that it is copied as
/// it was at one moment whoever writes it meanwhile.
///
/// It is left as it is, except for what each program does that opens it: SQLite rolls back the
/// transaction of a writer that died. (In rollback-journal mode others wait with their writes until
/// it is copied; in WAL mode nobody does.)
final class SourceDatabase {
  let path: String
  private var open: Connection?
  private var aside: AsideCopy?
  /// There was no WAL before: what reading makes of it is to be gone again.
  private let removesWAL: Bool

  /// Waits for others' locks for `timeout`, then throws `.busy`, which names who holds them.
  init(_ path: String, timeout: Duration, note: (String) -> Void) throws(StoreError) {
    self.path = path
    try SourceDatabase.check(path)
    let name = SourceDatabase.sqliteName(path)
    removesWAL = access("\(path)-wal", F_OK) != 0
    let first = SourceDatabase.reading(name, .readOnly, timeout)
    if case .failure(let error) = first, error.asksForMoreRights {
      try recover(name, timeout, isHotJournal: error.code == SQLITE_READONLY | 3 << 8, note)
    } else {
      open = try opened(first, waited: timeout)
    }
  }

  /// Opens a database that is to be recovered first: where it is, or else a copy of it.
  private func recover(
    _ name: String, _ timeout: Duration, isHotJournal: Bool, _ note: (String) -> Void
  ) throws(StoreError) {
    let there = SourceDatabase.reading(name, .readWrite, timeout)
    if case .failure(let error) = there, error.asksForMoreRights {
      let aside = try AsideCopy(of: path)
      open = try opened(
        SourceDatabase.reading(aside.path, .readWrite, timeout), waited: timeout)
      self.aside = aside
      note(
        "\(path) cannot be recovered where it is, since this user may not write there; a copy of it was, and the store begins with that"
      )
    } else {
      open = try opened(there, waited: timeout)
      guard isHotJournal else { return }
      note(
        "\(path) had a transaction that its writer did not live to finish; it was rolled back, as the next program to open it would have"
      )
    }
  }

  private func opened(_ result: Result<Connection, SQLiteError>, waited: Duration)
    throws(StoreError) -> Connection
  {
    do throws(SQLiteError) { return try result.get() } catch {
      throw SourceDatabase.failure(error, path, waited: waited)
    }
  }

  deinit {
    open = nil
    guard removesWAL, aside == nil, access("\(path)-wal", F_OK) == 0 else { return }
    // Whoever is the last to close it for writing removes what belongs to the WAL; nobody else may.
    _ = SourceDatabase.reading(SourceDatabase.sqliteName(path), .readWrite, .zero)
  }

  /// Copies its content, page size, auto_vacuum and encoding over `database`'s.
  func copy(to database: Connection) throws(StoreError) {
    guard let open else { return }
    do throws(SQLiteError) {
      if case .integer(let size)? = try open.scalar("PRAGMA page_size") {
        try database.execute("PRAGMA page_size = \(size)")
      }
      try open.backup(to: database)
    } catch {
      throw SourceDatabase.failure(error, path, waited: .zero)
    }
  }

  // MARK: opening

  /// A path that SQLite takes for nothing else: not for a URI, nor for `:memory:`.
  static func sqliteName(_ path: String) -> String {
    path.utf8.first == UInt8(ascii: "/") ? path : "./\(path)"
  }

  private static func reading(_ name: String, _ flags: OpenFlags, _ timeout: Duration)
    -> Result<Connection, SQLiteError>
  {
    Result { () throws(SQLiteError) in
      let connection = try Connection(path: name, flags: [flags, .noMutex])
      connection.setBusyTimeout(timeout)
      try connection.execute("BEGIN")
      // This takes the lock, and reads the schema.
      _ = try connection.scalar("SELECT count(*) FROM sqlite_schema")
      return connection
    }
  }

  /// What can be told before SQLite is asked, which takes some of these for databases.
  private static func check(_ path: String) throws(StoreError) {
    guard !path.isEmpty else {
      throw StoreError(
        .invalid, "the name of the database to begin with is empty: a variable that is not set?")
    }
    var status = stat()
    guard stat(path, &status) == 0 else {
      let code = errno
      let hint =
        path == "-"
        ? "; a database cannot be read from standard input"
        : path == ":memory:" || path.hasPrefix("file:") ? "; give the path of a file" : ""
      throw StoreError(
        code == ENOENT || code == ENOTDIR ? .noSuchStore : .io,
        "the database to begin with cannot be opened: \(String(cString: strerror(code)))\(hint)",
        path: path, errno: code)
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR:
      let advice =
        access("\(path)/store.json", F_OK) == 0
        ? "it is a store: give \(path)/current.sqlite, after `sluice checkpoint \(path)`"
        : "it is a directory: give the database's file"
      throw StoreError(.invalid, "no database to begin with; \(advice)", path: path)
    default:
      throw StoreError(
        .invalid, "no database to begin with; give a regular file", path: path)
    }
    guard status.st_size > 0 else {
      throw StoreError(
        .invalid,
        "the database to begin with is empty: 0 bytes; without --from a store begins empty",
        path: path)
    }
  }

  // MARK: failures

  private static func failure(_ error: SQLiteError, _ path: String, waited: Duration)
    -> StoreError
  {
    switch error.primary {
    case SQLITE_BUSY, SQLITE_LOCKED:
      let holders = LockHolders.of(path)
      let who = holders.isEmpty ? "another process" : holders.joined(separator: " and ")
      return StoreError(
        .busy,
        "the database to begin with stayed locked for \(waited) by \(who); let its transaction end, or wait longer with --timeout",
        path: path)
    case SQLITE_NOTADB:
      return StoreError(
        .damaged, "this is no SQLite database\(FileKind.hint(path))", path: path)
    case SQLITE_CORRUPT:
      return StoreError(
        .damaged, "SQLite cannot open the database to begin with: \(error.message)", path: path)
    case SQLITE_FULL:
      return StoreError(
        .io, "there is no room for a copy of the database; free space, then try again", path: path,
        errno: ENOSPC)
    default:
      return StoreError(
        .io, "the database to begin with cannot be read: \(error.message)", path: path)
    }
  }
}

extension SQLiteError {
  /// A read-only connection found that something has to be written first: a journal to be rolled
  /// back, a WAL's index to be made.
  fileprivate var asksForMoreRights: Bool {
    primary == SQLITE_READONLY || primary == SQLITE_CANTOPEN || primary == SQLITE_PERM
  }
}

/// What a file is that is no database.
private enum FileKind {
  static func hint(_ path: String) -> String {
    guard let bytes = try? PosixFileSystem().open(path, .fixed).read(256, at: 0) else { return "" }
    if bytes.starts(with: [0x1F, 0x8B]) { return ": it is compressed; gunzip it first" }
    let text = String(decoding: bytes.drop { $0 <= 0x20 }, as: UTF8.self).uppercased()
    let openings = ["PRAGMA ", "BEGIN", "CREATE ", "INSERT ", "--", "/*"]
    let isScript = openings.contains(where: text.hasPrefix)
    return isScript
      ? ": it looks like an SQL script; make the store without --from, then `sluice submit STORE --sql FILE`"
      : ""
  }
}
