import BenchmarkSupport
import SluiceFakes

/// The points that really occur, by role: how often a process comes to each, and how often one has
/// died there.
struct Catalog {
  private var reached: [Role: [CrashPoint: Int]] = [:]
  private var deaths: [Role: [CrashPoint: Int]] = [:]
  private var stops: [Role: [CrashPoint: Int]] = [:]

  mutating func note(_ account: Account, _ role: Role) {
    for (point, count) in account.reached { learn(point, role, count) }
    if let point = account.died {
      deaths[role, default: [:]][point, default: 0] += 1
      learn(point, role, 1)
    }
    if let point = account.stopped {
      stops[role, default: [:]][point, default: 0] += 1
      learn(point, role, 1)
    }
  }

  private mutating func learn(_ point: CrashPoint, _ role: Role, _ count: Int) {
    reached[role, default: [:]][point] = max(reached[role]?[point] ?? 0, count)
  }

  func deaths(of role: Role, at point: CrashPoint) -> Int { deaths[role]?[point] ?? 0 }

  func deaths(at target: Target?) -> Int {
    target.map { deaths(of: $0.role, at: $0.point) } ?? 0
  }

  /// Points that processes came to and nobody died at.
  var survived: [Target] {
    Role.allCases.filter { $0 != .reader }.flatMap { role in
      (reached[role] ?? [:]).keys.filter { deaths[role]?[$0] == nil }.sorted().map {
        Target(role, $0)
      }
    }
  }

  /// A point and a time; nil where no point is known. The same numbers choose the same point, also
  /// when more points are known than before, unless one of those is chosen. Where power fails, half
  /// of the points are such that it finds something unsynced.
  func choose(
    _ fate: CrashPlan.Fate, _ role: Role, isLossy: Bool, _ random: inout SeededRandom
  ) -> CrashPlan? {
    let onlyUnsynced = isLossy && random.below(2) == 0
    let (choice, early, time) = (random.next(), random.below(2) == 0, random.below(24))
    let tear = random.below(1 << 16)
    func rank(_ point: CrashPoint) -> UInt64 {
      var rank = choice
      for byte in point.description.utf8 { rank = (rank ^ UInt64(byte)) &* 0x100_0000_01B3 }
      var mixed = SeededRandom(seed: rank)
      return mixed.next()
    }
    let points = (reached[role] ?? [:]).filter { !onlyUnsynced || $0.key.leavesUnsynced }
    guard let (point, most) = points.min(by: { rank($0.key) < rank($1.key) }) else { return nil }
    // Often the first times, when a segment or a term begins.
    return CrashPlan(fate, point, 1 + min(early ? time % 3 : time, most - 1), tear: tear)
  }

  /// Appliers and workers came to their end, and told of all that they do sooner or later.
  var isKnown: Bool {
    (reached[.applier]?.count ?? 0) > 60 && (reached[.worker]?.count ?? 0) > 15
      && (reached[.creator]?.count ?? 0) > 60
  }

  // MARK: the report

  func lines() -> [String] {
    Role.allCases.flatMap { role -> [String] in
      let points = (reached[role] ?? [:]).keys.sorted()
      guard !points.isEmpty else { return [] }
      let died = deaths[role]?.values.reduce(0, +) ?? 0
      let covered = points.count { deaths[role]?[$0] != nil }
      let stopped = stops[role]?.values.reduce(0, +) ?? 0
      return [
        "\(role.rawValue): \(points.count) named points, died at \(covered) of them, \(grouped(died)) times; stopped \(grouped(stopped)) times at \(stops[role]?.count ?? 0)"
      ] + table(points.map { "\(padded(deaths[role]?[$0] ?? 0)) \($0)" })
    }
  }

  private func padded(_ count: Int) -> String {
    let text = String(count)
    return String(repeating: " ", count: max(0, 4 - text.count)) + text
  }

  /// In two columns.
  private func table(_ cells: [String]) -> [String] {
    let rows = (cells.count + 1) / 2
    return (0..<rows).map { row in
      let left = cells[row]
      guard row + rows < cells.count else { return "  \(left)" }
      return "  \(left)" + String(repeating: " ", count: max(1, 48 - left.count))
        + cells[row + rows]
    }
  }
}

/// What a process of a round is.
enum Role: String, CaseIterable, Hashable {
  case applier, worker, creator, reader, backup
}
