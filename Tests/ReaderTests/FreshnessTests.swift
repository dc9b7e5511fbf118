import SluiceReader
import SluiceShared
import Synchronization
import Testing

/// Promise 4: fresh on demand.
struct FreshnessTests {
  @Test func latestSeesWhatWasPublished() throws {
    let store = try TestStore()
    let reader = try store.open()
    for i in 1...20 {
      try store.commit(insert(i...i * 7))
      #expect(try store.difference(reader.snapshot(.latest)) == nil)
    }
  }

  @Test func latestDoesNotSeeWhatIsNotPublished() throws {
    let store = try TestStore()
    let reader = try store.open()
    try store.commit(insert(1...5))
    try store.commit(insert(6...9), publishing: false)
    #expect(try reader.snapshot().txid == TxID(1))
    try store.publish()
    #expect(try store.difference(reader.snapshot()) == nil)
  }

  @Test func latestIsOneReadWhereNothingIsNew() throws {
    let store = try TestStore()
    try store.commit(insert(1...50))
    let files = CountingFileSystem()
    let reader = try store.open(files)
    files.reset()
    let first = try reader.snapshot(.latest)
    let second = try reader.snapshot(.latest)
    #expect(first === second)
    #expect(files.counts == CountingFileSystem.Counts(reads: 2))
  }

  @Test func latestIsTwoReadsForASmallCommit() throws {
    let store = try TestStore()
    let files = CountingFileSystem()
    let reader = try store.open(files)
    try store.commit(insert(1...1))
    files.reset()
    #expect(try reader.snapshot(.latest).txid == TxID(1))
    #expect(files.counts == CountingFileSystem.Counts(reads: 2))
  }

  @Test func withinTheStalenessThereIsNoIO() throws {
    let store = try TestStore()
    let files = CountingFileSystem()
    let reader = try store.open(files)
    let old = try reader.snapshot()
    try store.commit(insert(1...5))
    files.reset()
    #expect(try reader.snapshot(.maxStaleness(.seconds(60))) === old)
    #expect(files.counts.total == 0)
    #expect(try reader.snapshot(.maxStaleness(.zero)).txid == TxID(1))
  }

  @Test func aTokenThatIsThereCostsNothing() throws {
    let store = try TestStore()
    try store.commit(insert(1...5))
    let files = CountingFileSystem()
    let reader = try store.open(files)
    files.reset()
    #expect(try reader.snapshot(.atLeast(TxID(1), timeout: .zero)).txid == TxID(1))
    #expect(files.counts.total == 0)
  }

  @Test func aTokenIsWaitedFor() throws {
    let store = try TestStore()
    let reader = try store.open()
    let seen = Monitor<[TxID]>([])
    let waiters = (1...3).map { wanted in
      ThreadExecutor.shared.start {
        let snapshot = try? reader.snapshot(.atLeast(TxID(UInt64(wanted)), timeout: .seconds(60)))
        seen.withLock { $0.append(snapshot?.txid ?? .zero) }
      }
    }
    for i in 1...3 {
      store.environment.clock.sleep(.milliseconds(20))
      try store.commit(insert(i...i))
    }
    for waiter in waiters { waiter.wait() }
    let all = seen.withLock { $0 }.sorted()
    #expect(all.count == 3)
    for (i, got) in all.enumerated() { #expect(got >= TxID(UInt64(i + 1))) }
  }

  @Test func aTokenThatDoesNotComeIsATimeout() throws {
    let reader = try TestStore().open()
    let began = SystemClock().elapsed()
    let error = #expect(throws: StoreError.self) {
      try reader.snapshot(.atLeast(TxID(9), timeout: .milliseconds(30)))
    }
    #expect(error?.code == .timeout)
    let took = SystemClock().elapsed() - began
    #expect(took >= .milliseconds(30) && took < .seconds(5))
  }

  /// A caller that comes while another reads must not get that one's answer, which may be older than
  /// the call; two that come meanwhile share one read.
  @Test func anAnswerIsSharedOnlyIfAskedForAfterBothBegan() throws {
    let store = try TestStore()
    let files = CountingFileSystem()
    let reader = try store.open(files)
    let isReading = Monitor(false)
    let mayGoOn = Monitor(false)
    let isFirst = Atomic<Bool>(true)
    files.reset()

    // The first caller is held up in its read.
    files.onRead { _, _ in
      guard isFirst.exchange(false, ordering: .relaxed) else { return }
      isReading.withLock { $0 = true }
      isReading.wakeAll()
      mayGoOn.wait { $0 ? () : nil }
    }
    let first = ThreadExecutor.shared.start { _ = try? reader.snapshot() }
    isReading.wait { $0 ? () : nil }

    let seen = Monitor<[TxID]>([])
    let begun = Monitor(0)
    let others = (0..<4).map { _ in
      ThreadExecutor.shared.start {
        begun.withLock { $0 += 1 }
        begun.wakeAll()
        let txid = try? reader.snapshot().txid
        seen.withLock { $0.append(txid ?? .zero) }
      }
    }
    begun.wait { $0 == 4 ? () : nil }
    store.environment.clock.sleep(.milliseconds(300))
    #expect(seen.withLock { $0 }.isEmpty)
    mayGoOn.withLock { $0 = true }
    mayGoOn.wakeAll()
    for work in [first] + others { work.wait() }
    // One read of the first, one for the four that waited.
    #expect(files.counts.reads == 2)
  }

  @Test func readersChangeNothing() throws {
    let store = try TestStore()
    try store.commit(insert(1...50))
    let files = CountingFileSystem()
    let reader = try store.open(files)
    try store.nextSegment(finishing: true)
    try store.commit(insert(1...90))
    #expect(try store.difference(reader.snapshot()) == nil)
    #expect(files.counts.changes == 0)
  }
}
