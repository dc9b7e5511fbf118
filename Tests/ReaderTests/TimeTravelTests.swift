import SluiceJournal
import SluiceReader
import SluiceShared
import Testing

@Suite("Any state that is kept can be read again")
struct TimeTravelTests {
  private struct State {
    var txid: TxID
    var time_ms: Int64
    var pages: [[UInt8]]
  }

  /// Segments that were finished in order and such that were not, checkpoints between, and a database that
  /// grows and shrinks.
  private func history(_ store: TestStore, _ commits: Int = 40) throws -> [State] {
    var states = [State(txid: .zero, time_ms: 0, pages: store.pages)]
    for i in 1...commits {
      try store.commit(
        i % 9 == 0 ? "DELETE FROM t WHERE id > 20; VACUUM" : insert(i * 3...i * 11))
      states.append(State(txid: store.txid, time_ms: store.time_ms, pages: store.pages))
      if i % 7 == 0 { try store.nextSegment(finishing: i % 2 == 0) }
      if i % 15 == 0 { try store.checkpoint() }
    }
    return states
  }

  private func expect(_ snapshot: Snapshot, _ state: State) throws {
    #expect(snapshot.txid == state.txid)
    #expect(Int(snapshot.pageCount) == state.pages.count)
    for (i, page) in state.pages.enumerated() {
      #expect(try snapshot.page(UInt32(i + 1)) == page, "page \(i + 1) as of \(state.txid)")
    }
  }

  @Test func asOfABatch() throws {
    let store = try TestStore()
    let states = try history(store)
    let reader = try store.open()
    for state in states.shuffled() {
      try expect(try reader.snapshot(.asOf(.txid(state.txid))), state)
    }
  }

  @Test func asOfATime() throws {
    let store = try TestStore()
    let states = try history(store)
    let reader = try store.open()
    for time_ms in Set(states.map(\.time_ms)).shuffled() {
      for later: Int64 in [0, 999] {
        let last = try #require(states.last { $0.time_ms <= time_ms + later })
        try expect(try reader.snapshot(.asOf(.time_ms(time_ms + later))), last)
      }
    }
    try expect(try reader.snapshot(.asOf(.time_ms(.max))), try #require(states.last))
  }

  /// A time that is not over goes on; one that is over, and a batch, cost nothing any more.
  @Test func whatIsKnownIsNotReadAgain() throws {
    let store = try TestStore()
    for i in 1...3 { try store.commit(insert(1...i)) }
    let files = CountingFileSystem()
    let reader = try store.open(files)
    let last = try reader.snapshot(.asOf(.time_ms(store.time_ms)))
    #expect(last.txid == TxID(3))
    _ = try reader.snapshot(.asOf(.txid(TxID(1))))
    try store.commit(insert(1...9))
    #expect(try reader.snapshot(.asOf(.time_ms(store.time_ms))).txid == TxID(4))
    files.reset()
    let again = try reader.snapshot(.asOf(.txid(TxID(1))))
    #expect(again.txid == TxID(1))
    #expect(files.counts.total == 0)
  }

  /// What was read of the files, to open the store or to look at the past, and then to read every page.
  private struct Price: Equatable {
    var opening: Int
    var pages: Int
  }

  private func price(
    _ files: CountingFileSystem, ofPagesOf store: TestStore, _ open: () throws -> Snapshot
  ) throws -> Price {
    files.reset()
    let snapshot = try open()
    let opening = files.counts.reads
    files.reset()
    for i in 0..<store.pages.count where i < Int(snapshot.pageCount) {
      _ = try snapshot.page(UInt32(i + 1))
    }
    return Price(opening: opening, pages: files.counts.reads)
  }

  /// The state lies within a segment that was finished later, behind others, each of `commits` commits.
  @Test(
    "The first look costs what opening cost then, and a read for each later segment; pages cost what they cost then",
    arguments: [10, 160], [1, 20])
  func theFirstLook(_ commits: Int, _ later: Int) throws {
    let store = try TestStore()
    func work(_ segments: Int) throws {
      for _ in 0..<segments {
        for i in 1...commits { try store.commit(insert(i...i + 20)) }
        try store.nextSegment(finishing: true)
      }
    }
    try work(3)
    for i in 1...commits { try store.commit(insert(i...i + 20)) }
    let files = CountingFileSystem()
    let then = try price(files, ofPagesOf: store) { try store.open(files).current }
    let txid = store.txid
    for i in 1...commits { try store.commit(insert(i...i + 20)) }
    try store.nextSegment(finishing: true)
    try work(later - 1)
    let reader = try store.open(files)
    let past = try price(files, ofPagesOf: store) { try reader.snapshot(.asOf(.txid(txid))) }
    #expect(past.opening <= then.opening + later, "\(past.opening) \(then.opening)")
    #expect(past.pages == then.pages)
    let again = try price(files, ofPagesOf: store) { try reader.snapshot(.asOf(.txid(txid))) }
    #expect(again.opening == 0)
    #expect(again.pages <= then.pages)
  }

  @Test func whatIsNotThereIsSaid() throws {
    let store = try TestStore()
    for i in 1...3 { try store.commit(insert(1...i)) }
    let (oldest, sidecar) = (store.checkpointPath, store.sidecarPath)
    try store.nextSegment(finishing: true)
    try store.checkpoint()
    try store.commit(insert(1...9))
    let reader = try store.open()
    let early = #expect(throws: StoreError.self) { try reader.snapshot(.asOf(.txid(TxID(5)))) }
    #expect(early?.code == .invalid)
    try store.remove(oldest)
    try store.remove(sidecar)
    for point in [HistoryPoint.txid(TxID(2)), .time_ms(store.time_ms - 2000)] {
      let late = #expect(throws: StoreError.self) { try reader.snapshot(.asOf(point)) }
      #expect(late?.code == .snapshotExpired)
      #expect(late?.message.contains("as of batch 3") == true)
    }
    #expect(try reader.snapshot(.asOf(.txid(TxID(3)))).txid == TxID(3))
  }

  /// A file that is not what its commit says gets no name.
  @Test func whatIsWrittenIsProven() throws {
    let store = try TestStore()
    try store.commit(insert(1...100))
    let environment = store.environment
    let path = store.layout.root + "/copy"
    try Restoration.write(try store.open().snapshot(), to: path, environment)
    #expect(
      try environment.fileSystem.open(path, .fixed).read(1 << 20, at: 0)
        == store.pages.flatMap { $0 })
    var image = store.pages
    image[2] = [UInt8](repeating: 7, count: image[2].count)
    try store.commit(image: image, unwritten: [3])
    let error = #expect(throws: StoreError.self) {
      try Restoration.write(try store.open().snapshot(), to: path + "2", environment)
    }
    #expect(error?.code == .damaged)
    #expect(
      try environment.fileSystem.list(store.layout.root).filter { $0.hasPrefix("copy") } == ["copy"]
    )
  }

  @Test func theIndexOfALaterTimeIsNotUsed() throws {
    let store = try TestStore()
    for i in 1...3 { try store.commit(insert(1...i)) }
    try store.nextSegment(finishing: true)
    let point = Freshness.asOf(.txid(TxID(2)))
    #expect(try store.open().snapshot(point).txid == TxID(2))
    #expect(try store.open(omitting: [.indexOfThatTime]).snapshot(point).txid == TxID(3))
  }
}
