internal import SluiceShared

/// How much is told of single files in the journal: anybody who may write there can make any number of them. Of each
/// kind some are told a minute, and then how many more there were.
struct FileComplaints {
  enum Kind: String, CaseIterable {
    case ignored = "journal file ignored"
    case unusable = "journal file cannot be used, its writer's batches wait"
    case missing = "batches are missing in the journal"
  }

  private struct Minute {
    var began: Duration
    var told = 0
    var leftOut = 0

    func isOver(at now: Duration) -> Bool { now - began >= .seconds(60) }
  }

  private var minutes: [Kind: Minute] = [:]

  /// Whether one more is told.
  mutating func isTold(_ kind: Kind, at now: Duration) -> Bool {
    var minute = minutes[kind] ?? Minute(began: now)
    // What was left out is told first.
    if minute.isOver(at: now), minute.leftOut == 0 { minute = Minute(began: now) }
    let isTold = minute.told < Limits.fileComplaintsPerMinute
    if isTold { minute.told += 1 } else { minute.leftOut += 1 }
    minutes[kind] = minute
    return isTold
  }

  /// How many were left out of each kind, where the minute is over.
  mutating func takeLeftOut(at now: Duration) -> [(kind: Kind, count: Int)] {
    guard !minutes.isEmpty else { return [] }
    return Kind.allCases.compactMap { kind in
      guard let minute = minutes[kind], minute.isOver(at: now), minute.leftOut > 0 else {
        return nil
      }
      minutes[kind] = nil
      return (kind, minute.leftOut)
    }
  }
}
