internal import SluiceShared

/// What one batch did to rows, as far as it can be told.
struct ChangedRows {
  /// Empty where they are not told.
  private(set) var changes: [RowChange] = []
  /// How many there are where they would take too much memory.
  private(set) var leftOut: UInt64?
  /// Why they are not told.
  private(set) var untold: String?
  /// About the memory that `changes` takes.
  private(set) var byteCount = 0

  var isTold: Bool { untold == nil }

  /// Counts the memory of a row that is going to be appended.
  mutating func count(_ values: [SQLValue?]) {
    byteCount += values.reduce(128) { $0 + ($1?.byteCount ?? 0) + 32 }
  }

  mutating func append(_ change: RowChange) {
    if isTold { changes.append(change) }
  }

  /// Gives up what there is, for memory: there are `count` more. Where another reason came first, that stands.
  mutating func leaveOut(_ count: Int) {
    guard isTold || leftOut != nil else { return }
    leftOut = (leftOut ?? UInt64(changes.count)) + UInt64(count)
    refuse("its rows take more than \(Limits.rowChangeBytes >> 20) MiB of memory")
  }

  /// Gives up what there is: a wrong row would be worse than none.
  mutating func refuse(_ reason: String) {
    untold = untold ?? reason
    changes = []
    byteCount = 0
  }
}
