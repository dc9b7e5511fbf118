import BenchmarkSupport

/// How many requests to the file server an operation may cost, and how many it must: one that costs
/// fewer left out what it rests on, or was not done at all.
struct Allowance {
  var name: String
  var most: Double
  var least = 0.0
  /// At least so many of these kinds.
  var kinds: [String: Double] = [:]

  /// What a beat or a repeated request adds; nothing where nothing may be asked.
  var tolerance: Double { most == 0 ? 0 : 0.1 }

  func faults(measured: Double, each: [String: Double]) -> [String] {
    var faults: [String] = []
    // In this form, what is no number is a fault too.
    if !(measured <= most + tolerance) { faults.append("OVER") }
    if !(measured >= least) { faults.append("fewer than \(plain(least, 2))") }
    for (kind, least) in kinds.sorted(by: { $0.key < $1.key }) where !(each[kind] ?? 0 >= least) {
      faults.append("fewer than \(plain(least, 2)) \(kind)")
    }
    return faults
  }

  /// Prints `budget NAME MOST MEASURED VERDICT DETAIL`, tab-separated; the verdict is `ok` or
  /// `FAILED: …`.
  func report(_ used: MountStatistics, per count: Double, of kind: String? = nil) {
    let measured = Double(kind.map { used.requests[$0] ?? 0 } ?? used.total) / count
    let faults = faults(
      measured: measured, each: used.requests.mapValues { Double($0) / count })
    let verdict = faults.isEmpty ? "ok" : "FAILED: " + faults.joined(separator: ", ")
    say(
      "budget\t\(name)\t\(plain(most, 0))\t\(plain(measured, 2))\t\(verdict)\t\(used.each(of: count))"
    )
  }

  /// Without a comma between the thousands.
  private func plain(_ value: Double, _ digits: Int) -> String {
    fixed(value, digits).filter { $0 != "," }
  }
}
