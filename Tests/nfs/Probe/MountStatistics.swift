import BenchmarkSupport
import SluiceShared

/// How many requests of each kind a mount sent to its file server, as the kernel counts them in
/// `/proc/self/mountstats`.
struct MountStatistics {
  var requests: [String: Int] = [:]

  /// Of the mount that `path` lies on.
  static func now(of path: String) throws(StoreError) -> MountStatistics {
    var best = ""
    var statistics = MountStatistics()
    var isMeant = false
    var countsOperations = false
    for line in try readLines("/proc/self/mountstats") {
      let words = line.split { $0 == " " || $0 == "\t" }
      if words.first == "device" {
        countsOperations = false
        // device SERVER:/ mounted on DIRECTORY with fstype nfs4 …
        let mount = words.count > 7 && words[7].hasPrefix("nfs") ? String(words[4]) : "-"
        let contains = path == mount || path.hasPrefix(mount + "/")
        isMeant = contains && mount.count >= best.count
        if isMeant { (best, statistics) = (mount, MountStatistics()) }
      } else if line.contains("per-op statistics") {
        countsOperations = true
      } else if isMeant, countsOperations, words.count > 8, let name = words.first,
        name.hasSuffix(":"),
        let count = Int(words[1])
      {
        if count > 0 { statistics.requests[String(name.dropLast())] = count }
      }
    }
    guard !best.isEmpty else {
      throw StoreError(.invalid, "this is not on an NFS mount", path: path)
    }
    return statistics
  }

  /// What `requests` printed: a name and a number a line.
  init(_ lines: [Substring] = []) {
    for line in lines {
      let words = line.split(separator: " ")
      if words.count == 2 { requests[String(words[0])] = Int(words[1]) }
    }
  }

  static func - (a: MountStatistics, b: MountStatistics) -> MountStatistics {
    var difference = MountStatistics()
    for (name, count) in a.requests {
      let more = count - (b.requests[name] ?? 0)
      if more > 0 { difference.requests[name] = more }
    }
    return difference
  }

  var total: Int { requests.values.reduce(0, +) }

  /// Each kind's share of `count` repetitions, the most frequent first.
  func each(of count: Double) -> String {
    requests.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
      .map { "\($0.key) \(fixed(Double($0.value) / count, 2))" }
      .joined(separator: ", ")
  }
}
