import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

/// Writers that submit row after row from threads of this process, and remember what was
/// acknowledged.
final class Load: @unchecked Sendable {
  // Sendable: everything that changes is in `state`.
  struct Acknowledged: Sendable {
    var writer: Int
    var n: Int
    var receipt: Receipt
  }

  private struct State {
    var shouldStop = false
    var running: Int
    var acknowledged: [[Acknowledged]]
    var failures: [StoreError] = []
  }

  private let store: TestStore
  private let writers: [Writer]
  private let state: Monitor<State>

  init(_ store: TestStore, writers count: Int, every milliseconds: Int) throws {
    self.store = store
    let made = try (0..<count).map { _ in try store.writer() }
    writers = made
    let state = Monitor(
      State(running: count, acknowledged: Array(repeating: [], count: count)))
    self.state = state
    for (number, writer) in made.enumerated() {
      startThread {
        var n = 0
        while !state.withLock({ $0.shouldStop }) {
          n += 1
          do throws(StoreError) {
            let receipt = try writer.submitBlocking(TestStore.row(number, n))
            state.withLock {
              $0.acknowledged[number].append(
                Acknowledged(writer: number, n: n, receipt: receipt))
            }
          } catch {
            state.withLock { $0.failures.append(error) }
          }
          pause(0...2 * milliseconds)
        }
        writer.closeBlocking()
        state.withLock { $0.running -= 1 }
        state.wakeAll()
      }
    }
  }

  /// Ends the submitting; then everything must come true that was acknowledged: each batch with one
  /// outcome, in the database once, in its writer's order. An applier must be there.
  func finish() throws {
    state.withLock { $0.shouldStop = true }
    state.wait { $0.running == 0 ? () : nil }
    let (acknowledged, failures) = state.withLock { ($0.acknowledged, $0.failures) }
    #expect(failures.isEmpty, "\(failures)")
    try #require(acknowledged.allSatisfy { $0.count > 10 })
    for (writer, sent) in acknowledged.enumerated() {
      for batch in sent {
        let known = try writers[writer].outcomeBlocking(of: batch.receipt, timeout: .seconds(60))
        try #require(known.outcome.isApplied, "\(batch): \(known)")
      }
    }
    let history = try History(store)
    for (writer, sent) in acknowledged.enumerated() {
      let executed = history.batches.filter {
        $0.outcome.batch.writer == sent[0].receipt.batch.writer
      }
      #expect(executed.map(\.outcome.batch) == sent.map(\.receipt.batch))
      #expect(executed.allSatisfy { $0.outcome.outcome.isApplied })
      #expect(try store.rows(of: writer) == sent.map { Int64($0.n) })
    }
  }
}

/// The published history, from the first batch on.
struct History {
  struct Entry: Hashable {
    var txid: TxID
    var outcome: BatchOutcome
  }

  private(set) var batches: [Entry] = []

  /// Walks the log. TxIDs must be 1, 2, 3 … without gaps, and no batch may have two.
  init(_ store: TestStore) throws {
    let log = try store.log()
    let present = try log.present()
    var follower = LogFollower(after: .empty)
    var entries: [Entry] = []
    try follower.advance(log, to: present) { commit, cursor throws(StoreError) in
      entries += try History.entries(of: commit, &cursor)
    }
    batches = entries
    #expect(entries.map(\.txid.rawValue) == Array(1...present.extent.txid.rawValue))
    #expect(Set(entries.map(\.outcome.batch)).count == entries.count)
  }

  static func entries(of commit: Commit, _ cursor: inout LogCursor) throws(StoreError) -> [Entry] {
    var txid = commit.first
    var entries: [Entry] = []
    for outcome in try cursor.outcomes(of: commit.header) {
      entries.append(Entry(txid: txid, outcome: outcome))
      txid = txid.next
    }
    return entries
  }
}

/// A reader that is there all along. Nothing that it saw may ever be different.
final class Watcher: Sendable {
  private struct State {
    var shouldStop = false
    var isDone = false
    var seen: [History.Entry] = []
    var reads = 0
    var violations: [String] = []
  }

  private let store: TestStore
  private let state = Monitor(State())

  init(_ store: TestStore) throws {
    self.store = store
    let database = try store.database()
    let log = try store.log()
    let follower = LogFollower(after: .empty)
    nonisolated(unsafe) let itsLog = log
    startThread { [state] in
      var follower = follower
      var last = TxID.zero
      while !state.withLock({ $0.shouldStop }) {
        do {
          let (txid, rows) = try database.read {
            ($0.txid, try $0.scalar("SELECT count(*) FROM t"))
          }
          var seen: [History.Entry] = []
          try follower.advance(itsLog, to: try itsLog.present()) {
            commit, cursor throws(StoreError) in
            seen += try History.entries(of: commit, &cursor)
          }
          state.withLock { state in
            state.reads += 1
            state.seen += seen
            if txid < last { state.violations.append("from batch \(last) back to \(txid)") }
            if rows != .integer(Int64(txid.rawValue) - 1) {
              state.violations.append("\(rows ?? .null) rows at batch \(txid)")
            }
            if follower.extent.txid < txid {
              state.violations.append("a later look saw \(follower.extent.txid), not \(txid)")
            }
          }
          last = txid
        } catch {
          state.withLock { $0.violations.append("\(error)") }
        }
        pause(3)
      }
      state.withLock { $0.isDone = true }
      state.wakeAll()
    }
  }

  deinit { state.withLock { $0.shouldStop = true } }

  /// Compares what was seen with the history as it is at the end.
  func finish() throws {
    state.withLock { $0.shouldStop = true }
    state.wait { $0.isDone ? () : nil }
    let (seen, reads, violations) = state.withLock { ($0.seen, $0.reads, $0.violations) }
    #expect(violations.isEmpty, "\(violations.prefix(5))")
    #expect(reads > 5)
    #expect(try seen == Array(History(store).batches.prefix(seen.count)))
  }
}

extension Outcome {
  var isApplied: Bool { if case .applied = self { true } else { false } }
}
