internal import SluiceSQLite
internal import SluiceShared

/// What the columns of a table were in the state before.
struct ColumnMatch {
  private enum Old {
    case column(Int)
    /// It was added: earlier rows have its default.
    case value(SQLValue)
  }

  /// For each stored column.
  private var olds: [Old] = []

  init(_ old: RowTable, _ new: RowTable) throws(SQLiteError) {
    let names = old.stored.map { $0.name.foldedCase }
    let found = new.stored.map { names.firstIndex(of: $0.name.foldedCase) }
    for (place, column) in new.stored.enumerated() {
      if let known = found[place] {
        olds.append(.column(known))
      } else if place < names.count, !found.contains(place) {
        // It has another name than it had, at the same place.
        olds.append(.column(place))
      } else if let standard = column.standard {
        olds.append(.value(try new.defaults.value(of: standard, column.affinity)))
      } else {
        olds.append(.value(.null))
      }
    }
  }

  /// Which column a stored one was; nil: it was added.
  func old(of place: Int) -> Int? { if case .column(let old) = olds[place] { old } else { nil } }

  /// Whether two rows, each the current one of its table's selection, have the same values.
  func isSame(_ before: Statement, _ behind: Statement) -> Bool {
    olds.enumerated().allSatisfy { place, old in
      switch old {
      case .column(let old): behind.isSame(Int32(place) + 1, as: before, Int32(old) + 1)
      case .value(let value): ExactValue(behind.columnValue(Int32(place) + 1)) == ExactValue(value)
      }
    }
  }
}

/// A value that is equal to another only byte for byte.
private struct ExactValue: Equatable {
  let value: SQLValue

  init(_ value: SQLValue) { self.value = value }

  static func == (a: ExactValue, b: ExactValue) -> Bool {
    switch (a.value, b.value) {
    case (.text(let a), .text(let b)): ExactText(a) == ExactText(b)
    case (.real(let a), .real(let b)): a.bitPattern == b.bitPattern
    default: a.value == b.value
    }
  }
}
