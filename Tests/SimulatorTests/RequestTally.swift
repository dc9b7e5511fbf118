import SluiceFakes
import SluiceJournal

/// READs and WRITEs of some processes on NFS, by what they are for.
struct RequestTally: CustomStringConvertible {
  enum Purpose: String, CaseIterable {
    /// Written by a writer: a frame of its journal segment.
    case frame
    /// By the leader: a commit or a beacon.
    case log
    /// Read by a writer: whether its segment was closed.
    case writerMark
    /// By the leader: what is new in a journal segment, and whether its own segment was closed.
    case journal, leaderMark
    /// By who waits for an outcome: what is published, and the commits.
    case present, outcomes
    /// Segments that are made, retired, and the like.
    case other
  }

  private(set) var reads: [Purpose: Int] = [:]
  private(set) var writes: [Purpose: Int] = [:]

  var readCount: Int { reads.values.reduce(0, +) }
  var writeCount: Int { writes.values.reduce(0, +) }
  var ratio: Double { Double(readCount) / Double(max(1, writeCount)) }

  /// A write waits in the page cache for its sync, or is one; two reads that are under way together are two.
  mutating func add(_ operation: FileOperation, of process: String) {
    let isLeader = process == "applier"
    let isJournal = operation.path.contains("/journal/")
    let isLog = operation.path.contains("/log/")
    switch operation.action {
    case .read where isJournal && isLeader: reads[.journal, default: 0] += 1
    case .read where isJournal:
      reads[operation.offset == Block.mark ? .writerMark : .other, default: 0] += 1
    case .read where isLog && isLeader:
      reads[operation.offset == Block.mark ? .leaderMark : .other, default: 0] += 1
    case .read where isLog:
      reads[operation.offset == 0 ? .present : .outcomes, default: 0] += 1
    case .sync where isJournal && !isLeader: writes[.frame, default: 0] += 1
    case .sync where isLog && isLeader: writes[.log, default: 0] += 1
    case .sync: writes[.other, default: 0] += 1
    default: break
    }
  }

  var description: String {
    func line(_ name: String, _ counts: [Purpose: Int]) -> String {
      let all = Purpose.allCases.compactMap { purpose in
        counts[purpose].map { "\(purpose) \($0)" }
      }
      return "\(name) \(counts.values.reduce(0, +)): \(all.joined(separator: ", "))"
    }
    return "\(line("READ", reads)); \(line("WRITE", writes))"
  }
}
