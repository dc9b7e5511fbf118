internal import SluiceSQLite
internal import SluiceShared

/// Takes the rows that differ, as far as there is memory for them.
struct ToldRows {
  private(set) var rows = ChangedRows()

  mutating func add(
    _ kind: RowChange.Kind, old: (RowTable, Statement)? = nil, new: (RowTable, Statement)? = nil
  ) {
    guard rows.isTold, rows.byteCount < Limits.rowChangeBytes else { return rows.leaveOut(1) }
    let (before, behind) = (old?.1.row, new?.1.row)
    rows.count((before ?? []) + (behind ?? []))
    var change = RowChange(kind: kind, table: (new ?? old)?.0.name ?? "")
    if case .integer(let number)? = (behind ?? before)?.first { change.rowID = number }
    if let old, let before { change.old = old.0.columns(selected: before) }
    if let new, let behind { change.new = new.0.columns(selected: behind) }
    rows.append(change)
  }
}
