import SluiceApplier
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@Suite("A history that is executed again gives the same, and what is not the same is named")
struct ReplayTests {
  /// A store that was worked on in two terms: commits 1 to 4 in the first, 5 and on in the second.
  func worked() throws -> TestStore {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(id INTEGER PRIMARY KEY, v, at DEFAULT CURRENT_TIMESTAMP)")
    try store.apply("CREATE TABLE other(id INTEGER PRIMARY KEY, v)")
    return store
  }

  /// Work on it in one more term, a commit each.
  func work(_ store: TestStore) throws {
    let writer = try store.writer()
    defer { writer.closeBlocking() }
    for sql in [
      "INSERT INTO t(v) VALUES('first')", "INSERT INTO other(v) VALUES(random())",
      "INSERT INTO t(v) VALUES('second')", "INSERT INTO other(v) VALUES('x')",
      "INSERT INTO other(v) VALUES('last')",
    ] {
      // ANALYZE wants a commit of its own, and so parts the others.
      _ = try writer.submitBlocking(Batch([Batch.Statement(sql)]))
      guard !sql.contains("last") else { break }
      _ = try writer.submitBlocking(Batch([Batch.Statement("ANALYZE other")]))
    }
    try store.drain()
  }

  func replay(_ store: TestStore, from: TxID? = nil, to: HistoryPoint? = nil) throws
    -> (summary: Replay.Summary, path: String)
  {
    let path = "\(store.path)/replayed-\(store.environment.random()).sqlite"
    let summary = try Replay.run(
      RecordedHistory(store: store.path, store.environment), into: path, from: from, to: to)
    return (summary, path)
  }

  func failure(_ store: TestStore) throws -> String {
    let before = try store.names(store.path)
    let error = #expect(throws: StoreError.self) { try replay(store) }
    #expect(error?.code == .damaged)
    #expect(try store.names(store.path) == before, "nothing is left of a replay that failed")
    return error?.description ?? ""
  }

  /// What a replay says is different at the commit; nothing where its check is left out.
  @discardableResult
  func expectDifference(
    _ store: TestStore, _ number: UInt64, without check: SafetyCheck?, _ texts: String...
  ) throws -> String {
    if let check {
      store.environment.omittedChecks = [check]
      _ = try replay(store)
      return ""
    }
    let text = try failure(store)
    for expected in ["at commit \(number) (batch "] + texts {
      #expect(text.contains(expected), "\(text)")
    }
    return text
  }

  func commits(_ store: TestStore) throws -> UInt64 {
    try PageStore(path: store.path, environment: store.environment).snapshot().extent.commits
  }

  func forge(
    _ store: TestStore, _ number: UInt64, _ change: (inout ForgedLog.Sections) throws -> Void
  ) throws {
    var log = try ForgedLog(store.layout, store.environment)
    try log.change(commit: number, change)
    try log.write(store.environment)
  }

  /// The commit of the batch whose SQL begins so.
  func commit(of sql: String, _ store: TestStore) throws -> UInt64 {
    var found: UInt64?
    try ChangeFeed(path: store.path, from: TxID(1), environment: store.environment).advance {
      if $0.batch?.statements.first?.sql == sql { found = $0.commit }
    }
    return try #require(found)
  }

  // MARK: the same

  @Test("All of it, a part of it, and from a checkpoint in between")
  func same() throws {
    let store = try worked()
    try work(store)
    let snapshot = try PageStore(path: store.path, environment: store.environment).published()
    try Checkpoint(of: store.handle).make(of: snapshot)
    let end = snapshot.txid
    try work(store)
    let whole = try replay(store)
    #expect(whole.summary.first == .zero && whole.summary.last > end)
    #expect(whole.summary.commits == (try commits(store)))
    let later = try replay(store, from: end)
    #expect(later.summary.first == end && later.summary.last == whole.summary.last)
    let part = try replay(store, to: .txid(end))
    #expect(part.summary.last == end)
    for (path, point) in [
      (whole.path, nil), (later.path, nil), (part.path, HistoryPoint.txid(end)),
    ] {
      let replayed = try Connection(path: path, flags: [.readOnly])
      #expect(try replayed.scalar("PRAGMA integrity_check") == "ok")
      for table in ["t", "other", "_sluice_writers", "_sluice_state"] {
        let sql = "SELECT * FROM \(table) ORDER BY 1"
        let pages = try PageStore(path: store.path, environment: store.environment)
        let seen = try Database(pages, executor: store.environment.executor)
          .read(point.map { .asOf($0) } ?? .latest) { try $0.query(sql) }
        #expect(try replayed.query(sql) == seen, "\(table) in \(path)")
      }
    }
  }

  /// A claimant writes them again, and they are in two segments then.
  @Test("Commits that were carried over are executed once")
  func carriedOver() throws {
    let store = try worked()
    try work(store)
    let last = try PageStore(path: store.path, environment: store.environment).snapshot().txid
    var log = try ForgedLog(store.layout, store.environment)
    try log.unpublishLastCommit()
    try log.write(store.environment)
    let before = try PageStore(path: store.path, environment: store.environment).snapshot().txid
    try #require(before < last)
    try store.apply("INSERT INTO t(v) VALUES('later')")
    let summary = try replay(store).summary
    let commits = try commits(store)
    #expect(summary.last == last.next && summary.commits == commits)
    var damages: [Verification.Damage] = []
    let verified = try Verification(store: store.path, store.environment) { damages.append($0) }
      .run()
    #expect(damages == [] && verified.commits == summary.commits)
  }

  @Test("What came from beside a batch is taken from the record")
  func givenOutcomes() throws {
    let store = try worked()
    let endless =
      "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) INSERT INTO t(v) SELECT n FROM c"
    store.options.stepsPerBatch = 200_000
    let outcomes = try store.apply([
      Batch([Batch.Statement("INSERT INTO t(v) VALUES(1)")]),
      Batch([Batch.Statement(endless)]),
      Batch([Batch.Statement("INSERT OR ROLLBACK INTO t(id) VALUES(1)")]),
      Batch([Batch.Statement("INSERT INTO t(v) VALUES(random())")], key: "k"),
      Batch([Batch.Statement("INSERT INTO t(v) VALUES(random())")], key: "k"),
      Batch([Batch.Statement("INSERT INTO t(v) VALUES(0)")], key: "k"),
      Batch([Batch.Statement("INSERT INTO t(v) VALUES(2)")]),
    ])
    #expect(outcomes[1].rejectionCode == Outcome.Rejection.Code.stepLimit)
    #expect(try replay(store).summary.last == TxID(9))
  }

  @Test("Other pages with the same content are no difference")
  func otherPages() throws {
    let store = try worked()
    try work(store)
    // In the room between a page's cells, which says nothing.
    let last = try commits(store)
    try forge(store, last) { sections in
      let entries = try PageEntry.decode(sections[.index], base: 0)
      let page = try #require(entries.last).page
      try sections.page(page) { bytes in
        let start = page == 1 ? 100 : 0
        let cells = Int(bytes[start + 3]) << 8 | Int(bytes[start + 4])
        bytes[start + 12 + 2 * cells + 8] ^= 1
      }
    }
    let summary = try replay(store).summary
    #expect(summary.samePages == summary.commits - 1)
    #expect(summary.comparedContents == [summary.last])
  }

  @Test("Progress goes to the end, and never back")
  func progress() throws {
    let store = try worked()
    try work(store)
    var seen: [(Int64, Int64)] = []
    _ = try Replay.run(
      RecordedHistory(store: store.path, store.environment), into: "\(store.path)/replayed",
      onProgress: { seen.append(($0, $1)) })
    #expect(seen.count == Int(try commits(store)))
    #expect(zip(seen, seen.dropFirst()).allSatisfy { $0.0 < $1.0 })
    #expect(seen.last.map { $0.0 <= $0.1 } == true)
  }

  // MARK: an archive

  @Test("From log segments alone, and from a checkpoint beside them")
  func archive() throws {
    let store = try worked()
    try work(store)
    let archive = "\(store.path)/archive"
    let fileSystem = store.environment.fileSystem
    try fileSystem.makeDirectory(archive, mode: 0o755)
    for name in try store.names(store.layout.log) where StoreLayout.logNumber(name) != nil {
      try fileSystem.link("\(store.layout.log)/\(name)", to: "\(archive)/\(name)")
    }
    let names = try store.names(archive).sorted()
    let history = try RecordedHistory(archive: archive, foreignKeys: true, store.environment)
    let end = try PageStore(path: store.path, environment: store.environment).snapshot().txid
    #expect(history.extent.txid == end)
    let alone = try Replay.run(history, into: "\(store.path)/alone.sqlite")
    #expect(alone.first == .zero && alone.last == end)
    #expect(try store.names(archive).sorted() == names, "nothing is written there")

    let pages = try PageStore(path: store.path, environment: store.environment)
    try Checkpoint(of: pages.handle).make(of: pages.published(.asOf(.txid(TxID(2)))))
    for name in [StoreLayout.checkpointName(TxID(2)), StoreLayout.sidecarName(TxID(2))] {
      try fileSystem.link("\(store.layout.checkpoints)/\(name)", to: "\(archive)/\(name)")
    }
    // What came before the checkpoint is not needed.
    try fileSystem.unlink("\(archive)/\(names[0])")
    try fileSystem.unlink("\(archive)/\(names[1])")
    let later = try Replay.run(
      RecordedHistory(archive: archive, foreignKeys: true, store.environment),
      into: "\(store.path)/later.sqlite")
    #expect(later.first == TxID(2) && later.last == end)
    for name in ["alone", "later"] {
      let replayed = try Connection(path: "\(store.path)/\(name).sqlite", flags: [.readOnly])
      #expect(try replayed.query("SELECT * FROM t") == store.query("SELECT * FROM t"))
    }
  }

  @Test(
    "Where pages are damaged the batches still make the database",
    arguments: [
      SectionID.pages, .index,
    ])
  func damagedPages(_ id: SectionID) throws {
    let store = try worked()
    try work(store)
    let whole = try replay(store)
    let number = try commit(of: "INSERT INTO t(v) VALUES('second')", store)
    try damage(store, number, id)
    let error = #expect(throws: StoreError.self) {
      let snapshot = try PageStore(path: store.path, environment: store.environment)
        .snapshot(.asOf(.txid(TxID(number))))
      try Restoration.write(snapshot, to: "\(store.path)/restored", store.environment)
    }
    #expect(error?.code == .damaged)
    var notes: [String] = []
    let path = "\(store.path)/again.sqlite"
    let summary = try Replay.run(
      RecordedHistory(store: store.path, store.environment), into: path,
      note: { notes.append($0) })
    #expect(summary.samePages == whole.summary.commits && summary.last == whole.summary.last)
    #expect(notes.count == (id == .index ? 1 : 0), "\(notes)")
    let bytes = try [path, whole.path].map { (path: String) in
      let file = try store.environment.fileSystem.open(path, .fixed)
      return try file.read(Int(file.status().size), at: 0)
    }
    #expect(bytes[0] == bytes[1])
  }

  /// Changes the first byte of a section of the commit `number`.
  private func damage(_ store: TestStore, _ number: UInt64, _ id: SectionID) throws {
    store.isDamagedOnPurpose = true
    let log = Log(of: try store.handle)
    var place: (path: String, offset: Int64)?
    var follower = LogFollower(after: .empty)
    try follower.advance(log, to: log.present()) {
      (commit: Commit, cursor: inout LogCursor) throws(StoreError) in
      guard commit.meta.commit == number, let section = commit.header.section(id) else { return }
      place = (cursor.segment.file.path, commit.header.offset + section.offset)
    }
    let (path, offset) = try #require(place)
    let file = try store.environment.fileSystem.open(path, .write)
    var byte = try file.read(1, at: offset)
    byte[0] ^= 1
    try file.write(byte, at: offset)
  }
}
