import SluiceJournal
package import SluiceShared

/// What of the log anybody believes in a run of its handshake alone. All must believe the same.
package final class LogWitness {
  /// One commit as it is told from another.
  package struct Commit: Equatable {
    var id: UInt64
    package var last: TxID
  }

  /// The longest history that anybody believed.
  package private(set) var believed: [Commit] = []
  var violated: (Violation) -> Void = { _ in }
  private var lastCommitID: UInt64 = 0

  /// Somebody takes this commit for the history's `number`th.
  func believe(_ commit: Commit, at number: UInt64, _ name: String) {
    let place = Int(number) - 1
    if place < believed.count {
      if believed[place] != commit {
        violate(
          .twoHistories,
          "\(name): two histories, commit \(number) is \(believed[place]) and \(commit)")
      }
    } else if place == believed.count {
      believed.append(commit)
    } else {
      violate(.historyHasGap, "\(name): commit \(number) after \(believed.count)")
    }
  }

  /// The present as a reader finds it, which is all that anybody believed before.
  func present(_ log: Log, _ name: String) throws(StoreError) -> Log.Present {
    let floor = believed.count
    let present = try log.present()
    if present.extent.commits < UInt64(floor) {
      violate(.staleRead, "\(name): stale, \(present.extent.commits) of \(floor) commits")
    }
    return present
  }

  /// Reads the history up to `present` and believes it.
  func follow(
    _ follower: inout LogFollower, _ log: Log, _ present: Log.Present, _ name: String
  ) throws(StoreError) {
    do throws(StoreError) {
      try follower.advance(log, to: present) { (commit, _) throws(StoreError) in
        believe(
          Commit(id: commit.meta.entropy.low, last: commit.last), at: commit.meta.commit, name)
      }
    } catch {
      if error.code == .damaged { violate(.publishedIsGone, "\(name): \(error)") }
      throw error
    }
    if follower.extent.commits < present.extent.commits {
      violate(
        .publishedIsGone,
        "\(name): \(follower.extent.commits) of \(present.extent.commits) commits are there")
    }
  }

  /// Believes the history that a new holder published with its first beacon. False where the segment was
  /// superseded and moved before its holder came to look. `log`: with nothing open.
  func inherit(_ holder: LogHolder, _ log: () -> Log, _ name: String) throws(StoreError) -> Bool {
    let beacon = holder.beacon(.active, ApplierStatus(), time_ms: 0).content
    guard let segment = try log().open(holder.header.number) else { return false }
    var follower = LogFollower(after: .empty)
    try follow(
      &follower, log(), Log.Present(segment: segment, beacon: beacon, isClosed: false), name)
    return true
  }

  /// The next commit of a holder: no two are the same.
  func content(behind holder: LogHolder, count: UInt32, bytes: Int) -> (CommitContent, Commit) {
    lastCommitID += 1
    let pages = [UInt8](repeating: UInt8(truncatingIfNeeded: lastCommitID), count: bytes)
    let content = CommitContent(
      first: holder.extent.txid.next, count: count,
      meta: CommitMeta(
        commit: holder.extent.commits + 1, time_ms: 0,
        entropy: Identifier128(high: 0, low: lastCommitID), pageSize: 4096, pageCount: 1,
        checksum: DatabaseChecksum(), rejected: 0),
      entries: [], outcomes: [], consumed: [], pages: .memory(pages),
      batches: SectionContent(.batches, raw: []))
    return (
      content, Commit(id: lastCommitID, last: holder.extent.txid.advanced(by: UInt64(count)))
    )
  }

  private func violate(_ kind: Violation.Kind, _ what: String) { violated(Violation(kind, what)) }
}
