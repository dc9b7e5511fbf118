import Glibc
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceWriter
import Synchronization
import Testing

@Suite("A holder that freezes around its commit while another claims: one history")
struct FrozenHolderTests {
  enum Moment: CaseIterable {
    case beforeWriting, beforeSync, beforeReadingTheMark, beforePublishing
  }

  /// Freezes an applier in its commit of one batch until another has claimed, executed a different
  /// batch, published and released. Returns what the frozen one published in segments of its own, and
  /// what the history says of the same TxIDs.
  private func freeze(_ moment: Moment, omitting omitted: Set<SafetyCheck> = []) throws
    -> (published: [History.Entry], history: [History.Entry])
  {
    let store = try TestStore()
    let writer = try store.writer()
    let batch = try writer.submitBlocking(TestStore.row(0, 1)).batch
    // The other applier cannot open the file with that batch.
    let others = Environment.hooked { operation in
      guard operation.action == .open, operation.path.contains("\(batch.writer)") else {
        return .done
      }
      return .fails(.posix(EACCES, operation.path))
    }
    let otherWriter = try store.writer()
    let watcher = try Watcher(store)

    let hasFrozen = Atomic<Bool>(false)
    let frame = Atomic<Bool>(false)
    var environment = Environment.hooked { operation in
      guard operation.path.hasSuffix(".log"), !hasFrozen.load(ordering: .relaxed) else {
        return .done
      }
      // The start frame, too, is written behind the control blocks: the term's first frame is the
      // second such write.
      let isFrame = operation.action == .write && operation.offset > Block.firstLogFrame
      if isFrame { frame.store(true, ordering: .relaxed) }
      let isIn = frame.load(ordering: .relaxed)
      let isMoment =
        switch moment {
        case .beforeWriting: isFrame
        case .beforeSync: isIn && operation.action == .sync
        case .beforeReadingTheMark:
          isIn && operation.action == .read && operation.offset == Block.mark
        case .beforePublishing:
          isIn && operation.action == .write && operation.offset < Block.firstLogFrame
        }
      guard isMoment else { return .done }
      hasFrozen.store(true, ordering: .relaxed)
      // This thread is the frozen one; the other applier works on it meanwhile.
      do {
        _ = try otherWriter.submitBlocking(TestStore.row(1, 1))
        try store.drain(TestStore.options("other"), others)
      } catch {
        Issue.record("\(error)")
      }
      return .done
    }
    environment.omittedChecks = omitted
    var options = TestStore.options("frozen")
    options.drains = true
    options.leaseTime = .seconds(5)
    // Ends as the one that was closed does; or, without the check, as if nothing had been.
    try store.drain(options, environment)
    let froze = hasFrozen.load(ordering: .relaxed)
    #expect(froze)
    try store.drain()

    let log = try store.log()
    var published: [History.Entry] = []
    for number in try log.listed() {
      guard let segment = try log.open(number), segment.header.holder == "frozen",
        let beacon = try segment.control().beacon
      else { continue }
      var cursor = LogCursor(segment, to: beacon.position.end, environment: store.environment)
      while let header = try cursor.next() {
        guard header.kind == .commit else { continue }
        published += try History.entries(of: try cursor.commit(header), &cursor)
      }
    }
    let history = try History(store).batches
    try watcher.finish()
    #expect(history.count == 3)
    #expect(history.allSatisfy { $0.outcome.outcome.isApplied })
    let same = Set(published.map(\.txid))
    return (published.sorted { $0.txid < $1.txid }, history.filter { same.contains($0.txid) })
  }

  @Test(arguments: Moment.allCases)
  func whatItPublishesIsTheHistory(moment: Moment) async throws {
    try await onThread {
      let (published, history) = try freeze(moment)
      #expect(published == history)
    }
  }

  #if DEBUG
    @Test func withoutReadingTheMarkTwoHistoriesArePublished() async throws {
      try await onThread {
        let (published, history) = try freeze(.beforeWriting, omitting: [.markAfterFrame])
        #expect(!published.isEmpty)
        #expect(published != history)
      }
    }
  #endif
}
