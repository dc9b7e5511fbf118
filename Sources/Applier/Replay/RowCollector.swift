internal import SluiceSQLite
internal import SluiceShared

/// Collects what the batches of one commit do to rows, while a session executes them again.
///
/// A batch may be executed more than once until its commit is done: the last time counts. Names of columns
/// are looked up between statements, before the schema changes, since nothing can be asked in the hook.
final class RowCollector {
  private let session: Session
  private let reading: RowReading
  private let defaults: ColumnDefaults
  /// Whether the batch at an index was applied; of others nothing is left.
  private let isApplied: (Int) -> Bool

  private struct Pending {
    var kind: RowEvent.Kind
    var table: String
    var oldRowID: Int64
    var newRowID: Int64
    var old: [SQLValue?]
    var new: [SQLValue?]
  }

  private var current: Int?
  /// The last batch that was begun and is in `batches`.
  private var last: Int?
  /// About the memory that the rows of the batches before take.
  private var spent = 0
  private var pending: [Pending] = []
  private var tables: [ExactText: RowTable] = [:]
  private var roots: [ExactText: SQLValue]?
  /// Changes of the batch before a statement that changes the schema.
  private var told = 0
  /// By the batch's index in its commit.
  private(set) var batches: [Int: ChangedRows] = [:]
  /// Where the schema was changed: after so many changes of a batch.
  private(set) var schemaChanges: [(batch: Int, after: Int)] = []
  /// What kept a name from being found.
  private(set) var failure: StoreError?

  init(
    _ session: Session, _ reading: RowReading, _ defaults: ColumnDefaults,
    isApplied: @escaping (Int) -> Bool
  ) {
    self.session = session
    self.reading = reading
    self.defaults = defaults
    self.isApplied = isApplied
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
    if let last, last >= index {
      // Again, after a rollback.
      batches = batches.filter { $0.key < index }
      schemaChanges.removeAll { $0.batch >= index }
      tables = [:]
      spent = batches.values.reduce(0) { $0 + $1.byteCount }
    } else if let last {
      spent += batches[last]?.byteCount ?? 0
    }
    last = nil
    current = isApplied(index) ? index : nil
    guard let current else { return }
    batches[current] = ChangedRows()
    last = current
  }

  /// Whether the commit's rows may take more memory.
  private var hasRoom: Bool {
    guard let current, let batch = batches[current] else { return false }
    return batch.isTold && spent + batch.byteCount < Limits.rowChangeBytes
  }

  private func note(_ event: borrowing RowEvent) {
    guard let current, event.schemaName == "main" else { return }
    let table = event.table
    guard !table.lowercased().hasPrefix("_sluice_") else { return }
    guard hasRoom else {
      batches[current]?.leaveOut(1 + pending.count)
      pending = []
      return
    }
    let row = Pending(
      kind: event.kind, table: table, oldRowID: event.oldRowID, newRowID: event.newRowID,
      old: event.old, new: event.new)
    batches[current]?.count(row.old + row.new)
    pending.append(row)
  }

  private func schemaChanges(_ isDone: Bool) {
    guard let current else { return }
    // The statement may have made one, and filled the tables in which it keeps its content.
    if isDone { session.run.forgetVirtualTables() }
    nameColumns()
    tables = [:]
    do throws(SQLiteError) {
      if isDone {
        try addMade()
        schemaChanges.append((current, batches[current]?.changes.count ?? 0))
      } else {
        roots = try rootPages()
        told = batches[current]?.changes.count ?? 0
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
    for row in rows {
      do throws(StoreError) {
        guard let table = try table(row.table), !table.isShadow else { continue }
        do throws(RowTable.Untold) {
          batches[current]?.append(try change(row, table))
        } catch {
          batches[current]?.refuse(error.reason)
        }
      } catch {
        failure = failure ?? error
        return
      }
    }
  }

  private func change(_ row: Pending, _ table: RowTable) throws(RowTable.Untold) -> RowChange {
    var change = RowChange(kind: .insert, table: table.name)
    switch row.kind {
    case .insert:
      change.new = try table.columns(row.new, .inserted, rowID: row.newRowID)
    case .update:
      change.kind = .update
      change.old = try table.columns(row.old, .old, rowID: row.oldRowID)
      change.new = try table.columns(row.new, .updated, rowID: row.newRowID)
    case .delete:
      change.kind = .delete
      change.old = try table.columns(row.old, .old, rowID: row.oldRowID)
    }
    if table.hasRowIDs {
      change.rowID = row.kind == .delete ? row.oldRowID : row.newRowID
      if row.kind == .update, row.oldRowID != row.newRowID { change.oldRowID = row.oldRowID }
    }
    return change
  }

  private func table(_ name: String) throws(StoreError) -> RowTable? {
    if let known = tables[ExactText(name)] { return known }
    session.permissions.mode = .applier
    do throws(SQLiteError) {
      let found = try RowTable(
        name, session.connection, reading, defaults, isShadow: session.run.isShadowTable(name))
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
      let isTold = batches[current]?.changes.dropFirst(told).contains { $0.table == name }
      guard isTold != true else { continue }
      try found.rows(session.connection) { (rowID, columns) in
        guard hasRoom else {
          batches[current]?.leaveOut(1)
          return
        }
        batches[current]?.count(columns.map(\.value))
        batches[current]?.append(
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
