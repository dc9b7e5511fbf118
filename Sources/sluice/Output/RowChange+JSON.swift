import SluiceApplier
import SluiceShared

/// The rows that a batch changed, as `log --rows --json` prints them.
extension JSONObject {
  /// `"changed": [{"op": "insert", "table": "item", "rowid": 1, "new": {"name": "bolt"}}, …]`
  mutating func add(_ entry: RowFeed.Entry) {
    if let changes = entry.changes {
      add("changed", changes.map(\.json))
    } else {
      addNull("changed")
      if let untold = entry.untold { add("untold", untold) }
      if let leftOut = entry.leftOut { add("leftOut", leftOut) }
    }
  }
}

extension RowChange {
  fileprivate var json: String {
    var object = JSONObject()
    object.add("op", kind.rawValue)
    object.add("table", table)
    if let rowID { object.add("rowid", rowID) }
    if let oldRowID { object.add("oldRowid", oldRowID) }
    if let old { object.add("old", Self.object(old)) }
    if let new { object.add("new", Self.object(new)) }
    return object.text
  }

  private static func object(_ columns: [Column]) -> JSONObject {
    var object = JSONObject()
    for column in columns { object.add(column.name, column.value) }
    return object
  }
}
