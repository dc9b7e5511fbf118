internal import SluiceSQLite
internal import SluiceShared

/// Collects what the batches of one commit do to rows, while a session executes them again.
///
/// A batch may be executed more than once until its commit is done: the last time counts. Names of columns
/// are looked up between statements, before the schema changes, since nothing can be asked in the hook.
final class RowCollector {
  private let session: Session
  private let hasRecordOrder: Bool
  /// Whether the batch at an index was applied; of others nothing is left.
  private let isApplied: (Int) -> Bool
  /// The row that a default is missing in, as it was before the commit.
  private let earlier: (RowTable, _ rowID: Int64) throws(StoreError) -> [RowChange.Column]?

  private struct Pending {
    var kind: RowEvent.Kind
    var table: String
    var oldRowID: Int64
    var newRowID: Int64
    var old: [SQLValue]
    var new: [SQLValue]
  }

  /// Where a row lies, to know whether it was written in this commit.
  private struct Place: Hashable {
    var table: ExactText
    var rowID: Int64
  }

  private var current: Int?
  private var pending: [Pending] = []
  private var tables: [ExactText: RowTable] = [:]
  private var written: Set<Place> = []
  private var roots: [ExactText: SQLValue]?
  /// Changes of the batch before a statement that changes the schema.
  private var told = 0
  private var bytes = 0
  /// By the batch's index in its commit.
  private(set) var changes: [Int: [RowChange]] = [:]
  /// How many there were of a batch of which they would take too much memory.
  private(set) var leftOut: [Int: UInt64] = [:]
  /// What kept a name from being found.
  private(set) var failure: StoreError?

  init(
    _ session: Session, hasRecordOrder: Bool, isApplied: @escaping (Int) -> Bool,
    earlier: @escaping (RowTable, Int64) throws(StoreError) -> [RowChange.Column]?
  ) {
    self.session = session
    self.hasRecordOrder = hasRecordOrder
    self.isApplied = isApplied
    self.earlier = earlier
    session.connection.setRowHook { [unowned self] event in note(event) }
    session.onBatch = { [unowned self] index in begin(index) }
    session.run.onSchemaChange = { [unowned self] isDone in schemaChanges(isDone) }
  }

  deinit {
    session.connection.setRowHook(nil)
    session.onBatch = { _ in }
    session.run.onSchemaChange = { _ in }
  }

  // MARK: what is told

  private func begin(_ index: Int?) {
    nameColumns()
    guard let index else {
      current = nil
      return
    }
    if changes.keys.contains(where: { $0 >= index })
      || leftOut.keys.contains(where: { $0 >= index })
    {
      // Again, after a rollback.
      changes = changes.filter { $0.key < index }
      leftOut = leftOut.filter { $0.key < index }
      tables = [:]
    }
    if index == 0 { written = [] }
    current = isApplied(index) ? index : nil
    if let current { changes[current] = [] }
  }

  private func note(_ event: borrowing RowEvent) {
    guard let current, event.schemaName == "main" else { return }
    let table = event.table
    guard !table.lowercased().hasPrefix("_sluice_") else { return }
    guard bytes < Limits.rowChangeBytes else {
      let dropped = (changes.removeValue(forKey: current)?.count ?? 0) + pending.count
      pending = []
      leftOut[current, default: 0] += UInt64(dropped) + 1
      return
    }
    let row = Pending(
      kind: event.kind, table: table, oldRowID: event.oldRowID, newRowID: event.newRowID,
      old: event.old, new: event.new)
    bytes += row.old.reduce(64) { $0 + $1.byteCount + 32 }
    bytes += row.new.reduce(64) { $0 + $1.byteCount + 32 }
    pending.append(row)
  }

  private func schemaChanges(_ isDone: Bool) {
    guard current != nil else { return }
    // The statement may have made one, and filled the tables in which it keeps its content.
    if isDone { session.run.forgetVirtualTables() }
    nameColumns()
    tables = [:]
    do throws(SQLiteError) {
      if isDone {
        try addMade()
      } else {
        roots = try rootPages()
        told = current.flatMap { changes[$0]?.count } ?? 0
      }
    } catch {
      fail(error)
    }
  }

  // MARK: names

  private func nameColumns() {
    guard let current, !pending.isEmpty else { return }
    let rows = pending
    pending = []
    do throws(StoreError) {
      for row in rows {
        guard let table = try table(row.table), !table.isShadow else { continue }
        changes[current]?.append(try change(row, table))
      }
    } catch {
      failure = failure ?? error
    }
  }

  private func change(_ row: Pending, _ table: RowTable) throws(StoreError) -> RowChange {
    var change = RowChange(
      kind: .insert, table: table.name, rowID: table.hasRowIDs ? row.newRowID : nil)
    let place = Place(table: ExactText(table.name), rowID: row.oldRowID)
    switch row.kind {
    case .insert: change.kind = .insert
    case .update: change.kind = .update
    case .delete:
      change.kind = .delete
      change.rowID = table.hasRowIDs ? row.oldRowID : nil
    }
    if row.kind != .insert {
      var old = table.columns(row.old, rowID: row.oldRowID)
      let mayLack =
        table.hasRowIDs
        && table.defaults.keys.contains {
          $0 >= row.old.count || row.old[$0] == .null
        }
      // Added to the table when the row was there already.
      if mayLack, !written.contains(place), let there = try earlier(table, row.oldRowID) {
        old = there
      }
      change.old = old
    }
    if row.kind != .delete { change.new = table.columns(row.new, rowID: row.newRowID) }
    if row.kind == .update, row.oldRowID != row.newRowID, table.hasRowIDs {
      change.oldRowID = row.oldRowID
    }
    if row.kind != .delete {
      written.insert(Place(table: ExactText(table.name), rowID: row.newRowID))
    }
    return change
  }

  private func table(_ name: String) throws(StoreError) -> RowTable? {
    if let known = tables[ExactText(name)] { return known }
    session.permissions.mode = .applier
    do throws(SQLiteError) {
      let found = try RowTable(
        name, session.connection, hasRecordOrder: hasRecordOrder,
        isShadow: session.run.isShadowTable(name))
      tables[ExactText(name)] = found
      return found
    } catch {
      throw failed(error)
    }
  }

  // MARK: CREATE TABLE … AS

  private func rootPages() throws(SQLiteError) -> [ExactText: SQLValue] {
    session.permissions.mode = .applier
    var roots: [ExactText: SQLValue] = [:]
    for row in try session.connection.query(
      "SELECT name, rootpage FROM main.sqlite_schema WHERE type = 'table' AND rootpage > 0")
    {
      if case .text(let name) = row[0] { roots[ExactText(name)] = row[1] }
    }
    return roots
  }

  /// Rows of a table that was not there before, and is none that got another name: no hook tells them.
  private func addMade() throws(SQLiteError) {
    guard let current, let roots else { return }
    self.roots = nil
    let before = Set(roots.values)
    for (name, root) in try rootPages().sorted(by: { $0.key.text < $1.key.text })
    where roots[name] == nil && !before.contains(root) {
      let name = name.text
      let found: RowTable?
      do throws(StoreError) { found = try table(name) } catch {
        failure = failure ?? error
        return
      }
      guard let found, !found.isShadow else { continue }
      // A virtual table's module may have made and filled it by statements of its own, which were told.
      if changes[current]?.dropFirst(told).contains(where: { $0.table == name }) == true {
        continue
      }
      for (rowID, columns) in try found.rows(session.connection) {
        if let rowID { written.insert(Place(table: ExactText(name), rowID: rowID)) }
        changes[current]?.append(
          RowChange(kind: .insert, table: name, rowID: rowID, new: columns))
      }
    }
  }

  private func fail(_ error: SQLiteError) { failure = failure ?? failed(error) }

  private func failed(_ error: SQLiteError) -> StoreError {
    session.database.failure
      ?? StoreError(.unsupported, "the rows that a batch changed cannot be told: \(error.message)")
  }
}

extension BatchRun {
  /// Whether a virtual table keeps its content in the table.
  func isShadowTable(_ name: String) throws(SQLiteError) -> Bool {
    do throws(Stop) { return try isShadow(name, of: virtualTables()) } catch {
      guard case .sqlite(let error) = error else { return false }
      throw error
    }
  }
}
