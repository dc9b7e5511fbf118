internal import CSQLite
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared

/// Which rows a commit inserted, updated and deleted, as its pages say: for interactive transactions, of which the log
/// has no statements.
///
/// Only tables' pages that were changed are read, and the interior pages above them: `ChangedRanges` says which rowids
/// may be of other rows, `OverflowSearch` which rows are others in their pages of overflow only, and both states are
/// read there, side by side, by SQLite. A table without rowids is compared as a whole where a page of it changed.
final class RowComparison {
  private typealias Failure = StatePair.Failure

  private struct Table {
    var name: String
    var root: UInt32
  }

  /// What a schema has.
  private struct Tables {
    /// Ascending by name.
    var ordinary: [Table] = []
    var virtual: [String] = []
  }

  private let reading: RowReading
  private let defaults: ColumnDefaults
  private let extensions: [LoadableExtension]
  private let environment: Environment
  private let nodes = TreeNodes()
  /// Pages of trees that were read to see where they lead.
  var treeReads: Int { nodes.reads }
  private var readers: (before: DatabaseReader, behind: DatabaseReader)?

  init(
    _ reading: RowReading, _ defaults: ColumnDefaults, _ extensions: [LoadableExtension],
    _ environment: Environment
  ) {
    self.reading = reading
    self.defaults = defaults
    self.extensions = extensions
    self.environment = environment
  }

  /// Each commit in its order, also one that is not compared.
  func pass(_ pair: StatePair) { nodes.pass(pair) }

  /// Of a commit that was passed: tables by their names, rows by their rowids. What is told takes so much memory at
  /// most: `Limits.rowChangeBytes`.
  func rows(_ pair: StatePair) throws(StatePair.Failure) -> ChangedRows {
    let found: ChangedRows
    do throws(Failure) {
      guard pair.before.pageSize == pair.behind.pageSize else {
        throw .untold("it changed the size of pages")
      }
      found = try compared(pair)
    } catch {
      readers = nil
      throw error
    }
    // The state behind it is the one before the next.
    readers = readers.map { (before: $0.behind, behind: $0.before) }
    return found
  }

  private func compared(_ pair: StatePair) throws(Failure) -> ChangedRows {
    try open(pair)
    let (old, new) = (try tables(.before), try tables(.behind))
    let scan = try ChangeScan(pair)
    let search = try OverflowSearch(scan, roots: [1] + old.ordinary.map(\.root), pair, nodes)
    var told = ToldRows()
    // Names that differ in case alone are the same.
    let olds = Dictionary(
      old.ordinary.map { (ExactText($0.name.foldedCase), $0) },
      uniquingKeysWith: { first, _ in first })
    for table in new.ordinary where !Self.isOwn(table.name) {
      let before = olds[ExactText(table.name.foldedCase)]
      try compare(before, table, new.virtual, pair, scan, search, &told)
    }
    return told.rows
  }

  /// Of Sluice's and of SQLite's tables nothing is told.
  private static func isOwn(_ name: String) -> Bool {
    let name = name.foldedCase
    return name.hasPrefix(Bookkeeping.prefix) || name.hasPrefix("sqlite_")
  }

  private func compare(
    _ before: Table?, _ behind: Table, _ virtual: [String], _ pair: StatePair, _ scan: ChangeScan,
    _ search: OverflowSearch, _ told: inout ToldRows
  ) throws(Failure) {
    let hasRowIDs = try nodes.node(behind.root, .behind, of: pair).isOfTable
    guard let before, try nodes.node(before.root, .before, of: pair).isOfTable == hasRowIDs else {
      guard let new = try rowTable(behind, .behind, virtual) else { return }
      let old = try before.flatMap { (table) throws(Failure) in try rowTable(table, .before, []) }
      try asking { (a, b) throws(SQLiteError) in
        if let old { try TableComparison.tellAll(&told, .delete, old, a) }
        try TableComparison.tellAll(&told, .insert, new, b)
      }
      return
    }
    if hasRowIDs {
      try compareRanges(before, behind, virtual, pair, scan, search, &told)
    } else if try mayDiffer(before, behind, pair, search),
      let comparison = try comparison(before, behind, virtual)
    {
      try asking { (_, _) throws(SQLiteError) in try comparison.tellByKey(&told) }
    }
  }

  /// Of a table without rowids.
  private func mayDiffer(
    _ before: Table, _ behind: Table, _ pair: StatePair, _ search: OverflowSearch
  ) throws(Failure) -> Bool {
    if search.isIncomplete || before.root != behind.root { return true }
    return try nodes.isTreeChanged(root: before.root, of: pair)
  }

  private func compareRanges(
    _ before: Table, _ behind: Table, _ virtual: [String], _ pair: StatePair, _ scan: ChangeScan,
    _ search: OverflowSearch, _ told: inout ToldRows
  ) throws(Failure) {
    var ranges = AllRanges(
      ChangedRanges(
        root: (before.root, behind.root), pair, probes: scan.probes, nodes),
      search.rowIDs[before.root] ?? [])
    // What is not read costs nothing.
    guard let first = try ranges.next(), let comparison = try comparison(before, behind, virtual)
    else { return }
    var pending: ClosedRange<Int64>? = first
    try comparison.tell(&told) { () throws(Failure) in
      defer { pending = nil }
      if let pending { return pending }
      return try ranges.next()
    } _: { (body) throws(Failure) in
      try asking { (_, _) throws(SQLiteError) in try body() }
    }
  }

  /// nil where no rows of the table are told.
  private func comparison(_ before: Table, _ behind: Table, _ virtual: [String]) throws(Failure)
    -> TableComparison?
  {
    guard let new = try rowTable(behind, .behind, virtual),
      let old = try rowTable(before, .before, [])
    else { return nil }
    return try asking { (a, b) throws(SQLiteError) in try TableComparison(old, new, a, b) }
  }

  // MARK: what SQLite says

  private func open(_ pair: StatePair) throws(Failure) {
    if let readers, readers.before.pages.pageSize == pair.before.pageSize {
      readers.before.pages = pair.before
      readers.behind.pages = pair.behind
      return
    }
    do throws(StoreError) {
      readers = (
        before: try DatabaseReader(pair.before, extensions, environment),
        behind: try DatabaseReader(pair.behind, extensions, environment)
      )
    } catch {
      throw .store(error)
    }
    // So that it says which tables others must not write to.
    try asking { (a, b) throws(SQLiteError) in
      for connection in [a, b] { try connection.setConfig(SQLITE_DBCONFIG_DEFENSIVE, true) }
    }
  }

  private func asking<R>(
    _ body: (_ before: Connection, _ behind: Connection) throws(SQLiteError) -> R
  )
    throws(Failure) -> R
  {
    guard let readers else { throw .untold("no database is open") }
    do throws(SQLiteError) {
      return try body(readers.before.connection, readers.behind.connection)
    } catch {
      if let failure = readers.before.failure ?? readers.behind.failure { throw .store(failure) }
      throw .untold("SQLite cannot read its pages: \(error)")
    }
  }

  private func asking<R>(_ side: StatePair.Side, _ body: (Connection) throws(SQLiteError) -> R)
    throws(Failure) -> R
  {
    try asking { (a, b) throws(SQLiteError) in try body(side == .before ? a : b) }
  }

  private func tables(_ side: StatePair.Side) throws(Failure) -> Tables {
    let rows = try asking(side) { (connection) throws(SQLiteError) in
      try connection.query(
        "SELECT name, rootpage FROM main.sqlite_schema WHERE type = 'table' ORDER BY name")
    }
    var tables = Tables()
    for row in rows {
      guard case .text(let name) = row[0] else { continue }
      if case .integer(let root) = row[1], let root = UInt32(exactly: root), root > 0 {
        tables.ordinary.append(Table(name: name, root: root))
      } else {
        tables.virtual.append(name.lowercased())
      }
    }
    return tables
  }

  /// nil where a virtual table keeps its content in it.
  private func rowTable(_ table: Table, _ side: StatePair.Side, _ virtual: [String])
    throws(Failure) -> RowTable?
  {
    try asking(side) { (connection) throws(SQLiteError) in
      let isShadow = BatchRun.isShadow(table.name, of: virtual) { (sql) throws(SQLiteError) in
        _ = try connection.prepare(sql)
      }
      guard !isShadow else { return nil }
      return try RowTable(table.name, connection, self.reading, self.defaults, isShadow: false)
    }
  }
}

/// The ranges of a tree, and single rows between them.
private struct AllRanges {
  private var ranges: ChangedRanges
  private var rowIDs: ArraySlice<Int64>
  private var ahead: ClosedRange<Int64>?

  init(_ ranges: ChangedRanges, _ rowIDs: [Int64]) {
    self.ranges = ranges
    self.rowIDs = rowIDs[...]
  }

  mutating func next() throws(StatePair.Failure) -> ClosedRange<Int64>? {
    if ahead == nil { ahead = try ranges.next() }
    while let rowID = rowIDs.first, rowID <= ahead?.upperBound ?? .max {
      rowIDs.removeFirst()
      if rowID < ahead?.lowerBound ?? .max || ahead == nil { return rowID...rowID }
    }
    defer { ahead = nil }
    return ahead
  }
}
