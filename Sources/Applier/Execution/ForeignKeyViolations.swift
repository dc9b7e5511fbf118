internal import CSQLite
internal import SluiceSQLite
internal import SluiceShared

/// A row that violates a foreign key, or a table whose foreign keys SQLite cannot check.
struct ForeignKeyViolation {
  /// For people: `in table c, rowid 30, which refers to p`.
  let place: String
  /// The same for rows of one table that refer to the same missing row of another, wherever they lie: a
  /// table that is made anew gives its rows other rowids.
  let key: UInt64
}

/// The violations that a database has at one moment, to tell from them what came later.
///
/// Each is known by the table, the table that it refers to, and the values with which it does, and so many
/// times as there are rows. Without the values where SQLite gives out no rowid to find them by (WITHOUT
/// ROWID): then the number of rows decides. With more than `Limits.violationsTold` of them only the number
/// of all is kept, and it decides.
struct ForeignKeyViolations {
  private(set) var count = 0
  private var rows: [UInt64: Int] = [:]

  init() {}

  /// Counted one by one: there may be millions. Errors but those of a schema are thrown.
  init(of connection: Connection, isOutOfTime: () -> Bool) throws(SQLiteError) {
    try ForeignKeyScan(connection).each(
      isOutOfTime, withKeys: { count < Limits.violationsTold }
    ) {
      insert($0.key)
    }
  }

  private mutating func insert(_ key: UInt64) {
    count += 1
    if count <= Limits.violationsTold { rows[key, default: 0] += 1 } else { rows = [:] }
  }

  /// How many the database has beside these, and the place of the first of them.
  func added(in connection: Connection, isOutOfTime: () -> Bool) throws(SQLiteError)
    -> (count: Int, first: String)
  {
    var left = rows
    var seen = 0
    var added = 0
    var first = ""
    try ForeignKeyScan(connection).each(isOutOfTime, withKeys: { !left.isEmpty }) { violation in
      seen += 1
      if isByNumber {
        guard seen > count else { return }
      } else if let copies = left[violation.key] {
        left[violation.key] = copies > 1 ? copies - 1 : nil
        return
      }
      if added == 0 { first = violation.place }
      added += 1
    }
    return (added, first)
  }

  /// Only the number of all is kept.
  private var isByNumber: Bool { rows.isEmpty && count > 0 }

  /// Something else had `before`, and left `after`: the difference is of what was there before, too.
  mutating func shift(from before: ForeignKeyViolations, to after: ForeignKeyViolations) {
    guard !isByNumber, !before.isByNumber, !after.isByNumber else {
      count = max(0, count + after.count - before.count)
      rows = [:]
      return
    }
    for (key, copies) in after.rows where copies > before.rows[key, default: 0] {
      rows[key, default: 0] += copies - before.rows[key, default: 0]
    }
    for (key, copies) in before.rows {
      guard let known = rows[key] else { continue }
      let gone = max(0, copies - after.rows[key, default: 0])
      rows[key] = known > gone ? known - gone : nil
    }
    count = rows.values.reduce(0, +)
    if count > Limits.violationsTold { rows = [:] }
  }

  // MARK: as bytes

  /// `u64` how many, then the key of each, ascending; without keys where there are, or were, too many.
  var encoded: [UInt8] {
    var writer = ByteWriter()
    writer.append(UInt64(count))
    for (key, copies) in rows.sorted(by: { $0.key < $1.key }) {
      for _ in 0..<copies { writer.append(key) }
    }
    return writer.bytes
  }

  init(decoding bytes: [UInt8]) throws(DecodingError) {
    let words = bytes.withUnsafeBytes { raw in
      stride(from: 0, to: raw.count / 8 * 8, by: 8).map {
        UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: $0, as: UInt64.self))
      }
    }
    guard bytes.count % 8 == 0, let first = words.first, let count = Int(exactly: first),
      words.count == 1 || words.count == count + 1,
      count <= Limits.violationsTold || words.count == 1
    else {
      throw DecodingError("the foreign keys that were violated before an import are damaged")
    }
    for key in words.dropFirst() { rows[key, default: 0] += 1 }
    self.count = count
  }
}

/// Walks all rows of a database that violate a foreign key.
///
/// Table by table, since one whose foreign keys do not fit the table they refer to (`foreign key mismatch`)
/// would end a look at all of them.
private struct ForeignKeyScan {
  private let connection: Connection

  init(_ connection: Connection) { self.connection = connection }

  /// `withKeys` says whether the key of the next one matters; it is 0 otherwise.
  func each(
    _ isOutOfTime: () -> Bool, withKeys: () -> Bool, _ body: (ForeignKeyViolation) -> Void
  ) throws(SQLiteError) {
    let tables = try connection.query(
      "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND rootpage > 0")
    for case .text(let table)? in tables.map(\.first) {
      // Of small tables there may be any number; within one SQLite asks.
      guard !isOutOfTime() else {
        throw SQLiteError(code: SQLITE_INTERRUPT, message: "interrupted")
      }
      do throws(SQLiteError) { try look(at: table, withKeys, body) } catch {
        guard error.primary == SQLITE_ERROR else { throw error }
        body(
          ForeignKeyViolation(
            place: "in table \(table), which cannot be checked: \(error.message)",
            key: ViolationKey(table, error.message).value))
      }
    }
  }

  private func look(
    at table: String, _ withKeys: () -> Bool, _ body: (ForeignKeyViolation) -> Void
  ) throws(SQLiteError) {
    let check = try connection.prepare(SchemaPragma.foreignKeyCheck.text(of: table))
    var values: [Int64: ReferringValues] = [:]
    while try check.step() {
      let rowid = check.columnType(1) == .null ? nil : check.columnInteger(1)
      let parent = check.columnText(2) ?? "?"
      var key: UInt64 = 0
      if withKeys() {
        let number = check.columnInteger(3)
        if values[number] == nil {
          values[number] = try ReferringValues(connection, table, foreignKey: number)
        }
        key = ViolationKey(table, parent, try values[number]?.values(at: rowid) ?? []).value
      }
      let row = rowid.map { ", rowid \($0)" } ?? ""
      body(
        ForeignKeyViolation(place: "in table \(table)\(row), which refers to \(parent)", key: key))
    }
  }
}

/// The columns of one foreign key, read by rowid.
private struct ReferringValues {
  /// nil: no row of the table can be found by its rowid.
  private let statement: Statement?

  init(_ connection: Connection, _ table: String, foreignKey number: Int64) throws(SQLiteError) {
    let columns = try connection.query(SchemaPragma.foreignKeys.text(of: table))
      .filter { $0.first == .integer(number) }
      .compactMap { row in if case .text(let name) = row[3] { quoted(name) } else { nil } }
    let all = try connection.query(SchemaPragma.allColumns.text(of: table))
    let taken = all.map { row in if case .text(let name) = row[1] { name.lowercased() } else { "" }
    }
    let name = ["rowid", "_rowid_", "oid"].first { !taken.contains($0) }
    guard let name, !columns.isEmpty else {
      statement = nil
      return
    }
    statement = try? connection.prepare(
      "SELECT \(columns.joined(separator: ", ")) FROM main.\(quoted(table)) WHERE \(name) = ?")
  }

  func values(at rowid: Int64?) throws(SQLiteError) -> [SQLValue] {
    guard let statement, let rowid else { return [] }
    defer { statement.reset() }
    try statement.bind(integer: rowid, at: 1)
    return try statement.step() ? statement.row : []
  }
}

/// The same on every machine and in every version, since it is part of what a history comes to.
private struct ViolationKey {
  let value: UInt64

  init(_ table: String, _ other: String, _ values: [SQLValue] = []) {
    var writer = ByteWriter()
    for name in [table, other] {
      writer.append(raw: Array(name.lowercased().utf8))
      writer.append(UInt8(0))
    }
    for value in values {
      switch value {
      case .null: writer.append(UInt8(0))
      case .integer(let number):
        writer.append(UInt8(1))
        writer.append(UInt64(bitPattern: number))
      case .real(let number):
        writer.append(UInt8(2))
        writer.append(number.bitPattern)
      case .text(let text):
        writer.append(UInt8(3))
        writer.append(UInt64(text.utf8.count))
        writer.append(raw: Array(text.utf8))
      case .blob(let bytes):
        writer.append(UInt8(4))
        writer.append(UInt64(bytes.count))
        writer.append(raw: bytes)
      }
    }
    let hash = writer.bytes.withUnsafeBytes { SHA256.hash($0) }
    value = hash.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
  }
}
