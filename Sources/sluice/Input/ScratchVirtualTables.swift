import Glibc
import SluiceJournal
import SluiceSQLite
import SluiceShared

/// The virtual tables of a dump that the sqlite3 shell wrote, on their way into a store.
///
/// The shell writes row by row what lies in the tables in which a virtual table keeps its content, and the
/// virtual table itself into sqlite_schema. A store lets nobody write either by hand, since SQLite may not live
/// through what is wrong there. So both are done in a database of this process's own, on the local disk, which goes
/// with it. What the virtual table holds is then read out of it, and goes into the store as the rows that it once
/// got (`VirtualTableDump`).
final class ScratchVirtualTables {
  private let directory: String
  private var database: Connection
  private var tables: [(name: String, sql: String)] = []
  /// The tables in which they keep their content, in lower case.
  private var shadows: Set<String> = []

  private static func path(_ directory: String) -> String { "\(directory)/tables.sqlite" }

  init() throws(StoreError) {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/sluice-dump-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw StoreError(
        .io,
        "no directory for the virtual tables of a dump can be made: \(String(cString: strerror(errno))); set TMPDIR to a directory on a local disk",
        path: parent, errno: errno)
    }
    let made = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    do throws(SQLiteError) {
      database = try Connection(path: Self.path(made), flags: [.readWrite, .create])
      try database.execute(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE")
    } catch {
      Self.remove(made)
      throw StoreError(
        .io, "the virtual tables of a dump cannot be kept for a while: \(error.message)", path: made
      )
    }
    directory = made
  }

  deinit {
    try? database.close()
    Self.remove(directory)
  }

  private static func remove(_ directory: String) {
    unlink(path(directory))
    rmdir(directory)
  }

  /// An ordinary table of the dump, empty: a full-text index may be of its columns. What cannot be made here is
  /// the store's affair.
  func note(table sql: String) { try? database.execute(sql) }

  /// What `.dump` writes for a virtual table, between the parentheses behind `VALUES`: its name, twice, a page that it
  /// does not have, and how it is made. nil where it is something else.
  func virtualTable(from values: Substring) -> (name: String, sql: String)? {
    guard let row = try? database.query("SELECT \(values)").first, row.count == 5,
      case .text("table") = row[0], case .text(let name) = row[1], row[2] == row[1],
      row[3] == .integer(0), case .text(let sql) = row[4]
    else { return nil }
    var tokens = LeadingTokens(sql)
    guard tokens.keyword() == "create", tokens.keyword() == "virtual", tokens.keyword() == "table"
    else { return nil }
    return (name, sql)
  }

  /// Makes a virtual table without any content: all of that is in the dump.
  func make(_ name: String, _ sql: String) throws(SQLiteError) {
    let before = try names()
    try database.execute(sql)
    let own = try names().subtracting(before)
    for table in own { try database.execute("DELETE FROM \(table.quotedForSQL)") }
    shadows.formUnion(own.map { $0.lowercased() })
    tables.append((name, sql))
  }

  private func names() throws(SQLiteError) -> Set<String> {
    let rows = try database.query(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage <> 0 AND name NOT LIKE 'sqlite%'"
    )
    return Set(rows.compactMap { if case .text(let name) = $0[0] { name } else { nil } })
  }

  /// Whether a statement makes or fills a table in which one of them keeps its content, as `.dump` writes it; it is
  /// not for the store then.
  func isOwn(_ statement: String) -> (isRow: Bool, Bool) {
    var tokens = LeadingTokens(statement)
    switch tokens.keyword() {
    case "insert":
      guard tokens.next() == "into", let name = tokens.next() else { return (false, false) }
      return (true, shadows.contains(name))
    case "create":
      guard tokens.next() == "table" else { return (false, false) }
      var name = tokens.next()
      if name == "if" {
        _ = (tokens.next(), tokens.next())
        name = tokens.next()
      }
      return (false, shadows.contains(name ?? ""))
    default: return (false, false)
    }
  }

  func execute(_ statement: Batch.Statement) throws(SQLiteError) {
    let prepared = try database.prepare(statement.sql)
    for row in statement.rows.isEmpty ? [[]] : statement.rows {
      try prepared.bind(row)
      try prepared.run()
    }
  }

  /// A script that fills them, as a file that has no name any more. nil: one of them keeps nothing that could be read
  /// out of it.
  func script(named name: String) throws -> InputFile? {
    // They remember what they found when they were made.
    try database.close()
    database = try Connection(path: Self.path(directory), flags: [.readWrite])
    let dumps = try tables.compactMap {
      try VirtualTableDump($0.name, $0.sql, database, shadows: names())
    }
    guard !dumps.contains(where: \.isLost) else { return nil }
    let path = "\(directory)/rows.sql"
    let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw StoreError(
        .io, "the virtual tables' rows cannot be written: \(String(cString: strerror(errno)))",
        path: path, errno: errno)
    }
    unlink(path)
    let file = InputFile(descriptor: descriptor, name: name)
    var output = OutputFile(descriptor: descriptor)
    for dump in dumps {
      try dump.writeContent(to: &output)
      try dump.writeRebuild(to: &output)
    }
    try output.flush()
    lseek(descriptor, 0, SEEK_SET)
    return file
  }
}
