internal import SluiceSQLite
internal import SluiceShared

/// The rows of one table that are not the same in two states.
struct TableComparison {
  private let old: RowTable
  private let new: RowTable
  private let before: Connection
  private let behind: Connection
  private let match: ColumnMatch

  init(_ old: RowTable, _ new: RowTable, _ before: Connection, _ behind: Connection)
    throws(SQLiteError)
  {
    self.old = old
    self.new = new
    self.before = before
    self.behind = behind
    match = try ColumnMatch(old, new)
  }

  /// Of tables with rowids: of the rows in `ranges`, side by side.
  func tell(
    _ told: inout ToldRows, within ranges: () throws(StatePair.Failure) -> ClosedRange<Int64>?,
    _ asking: (() throws(SQLiteError) -> Void) throws(StatePair.Failure) -> Void
  ) throws(StatePair.Failure) {
    guard let oldNumber = old.rowNumber, let newNumber = new.rowNumber else {
      throw .untold("the columns of table \(new.name) have all names of its rowid")
    }
    var statements: (Statement, Statement)?
    try asking { () throws(SQLiteError) in
      statements = (
        try before.prepare(Self.inRange(old, oldNumber)),
        try behind.prepare(Self.inRange(new, newNumber))
      )
    }
    guard let (a, b) = statements else { return }
    while let range = try ranges() {
      try asking { () throws(SQLiteError) in try tell(&told, range, a, b) }
    }
  }

  private static func inRange(_ table: RowTable, _ number: String) -> String {
    "\(table.selection) NOT INDEXED WHERE \(number) BETWEEN ? AND ? ORDER BY \(number)"
  }

  private func tell(
    _ told: inout ToldRows, _ range: ClosedRange<Int64>, _ a: Statement, _ b: Statement
  ) throws(SQLiteError) {
    for statement in [a, b] {
      statement.reset()
      try statement.bind([.integer(range.lowerBound), .integer(range.upperBound)])
    }
    var (isA, isB) = (try a.step(), try b.step())
    while isA || isB {
      let (x, y) = (isA ? a.columnInteger(0) : 0, isB ? b.columnInteger(0) : 0)
      if isA, !isB || x < y {
        told.add(.delete, old: (old, a))
        isA = try a.step()
      } else if isB, !isA || y < x {
        told.add(.insert, new: (new, b))
        isB = try b.step()
      } else {
        if !match.isSame(a, b) { told.add(.update, old: (old, a), new: (new, b)) }
        (isA, isB) = (try a.step(), try b.step())
      }
    }
    for statement in [a, b] { statement.reset() }
  }

  // MARK: without rowids

  /// Of tables without rowids: all rows, looked up by their keys. First those that are gone or others, then those that
  /// came, each in the order of the key.
  func tellByKey(_ told: inout ToldRows) throws(SQLiteError) {
    guard let keys else {
      try Self.tellAll(&told, .delete, old, before)
      return try Self.tellAll(&told, .insert, new, behind)
    }
    let rows = try before.prepare(old.selection)
    let others = try behind.prepare(Self.byKey(new, keys.map(\.new)))
    while try rows.step() {
      try Self.bind(keys.map { rows.columnValue(Int32($0.old) + 1) }, to: others)
      if try !others.step() {
        told.add(.delete, old: (old, rows))
      } else if !match.isSame(rows, others) {
        told.add(.update, old: (old, rows), new: (new, others))
      }
    }
    others.reset()
    let added = try behind.prepare(new.selection)
    let earlier = try before.prepare(Self.byKey(old, keys.map(\.old)))
    while try added.step() {
      try Self.bind(keys.map { added.columnValue(Int32($0.new) + 1) }, to: earlier)
      if try !earlier.step() { told.add(.insert, new: (new, added)) }
    }
  }

  /// The columns of the key, by their places among the stored ones; nil where it is another key.
  private var keys: [(old: Int, new: Int)]? {
    let places = new.stored.indices.filter { new.stored[$0].keyPlace > 0 }
    let found = places.compactMap { place in match.old(of: place).map { (old: $0, new: place) } }
    let isSame =
      found.count == places.count
      && Set(found.map(\.old)) == Set(old.stored.indices.filter { old.stored[$0].keyPlace > 0 })
    return isSame ? found : nil
  }

  private static func byKey(_ table: RowTable, _ places: [Int]) -> String {
    let condition = places.map { "\(quoted(table.stored[$0].name)) = ?" }
    return "\(table.selection) WHERE \(condition.joined(separator: " AND "))"
  }

  private static func bind(_ values: [SQLValue], to statement: Statement) throws(SQLiteError) {
    statement.reset()
    try statement.bind(values)
  }

  /// Of a table that is there in one state only.
  static func tellAll(
    _ told: inout ToldRows, _ kind: RowChange.Kind, _ table: RowTable, _ connection: Connection
  ) throws(SQLiteError) {
    let order = table.rowNumber.map { " NOT INDEXED ORDER BY \($0)" } ?? ""
    let rows = try connection.prepare(table.selection + order)
    while try rows.step() {
      if kind == .delete {
        told.add(.delete, old: (table, rows))
      } else {
        told.add(.insert, new: (table, rows))
      }
    }
  }
}
