import SluiceApplier
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

/// Differences that were planted, and what is said of each.
extension ReplayTests {
  // MARK: planted differences

  @Test("Another outcome", arguments: [true, false])
  func outcome(_ isCompared: Bool) throws {
    let store = try worked()
    try work(store)
    let number = try commit(of: "INSERT INTO t(v) VALUES('second')", store)
    try forge(store, number) {
      try $0.outcomes { $0[0].outcome = .applied(.init(changes: 2, lastRowID: 2, rows: nil)) }
    }
    try expectDifference(
      store, number, without: isCompared ? nil : .compareOutcomes,
      "was applied, 2 changes", "executed again it is applied, 1 changes")
  }

  /// The last commit's, and one that a later commit, which is right, writes over.
  @Test("Another page, with every checksum right", arguments: ["last", "x"], [true, false])
  func page(_ value: String, _ isCompared: Bool) throws {
    let store = try worked()
    try work(store)
    let number = try commit(of: "INSERT INTO other(v) VALUES('\(value)')", store)
    let row = value == "last" ? 3 : 2
    let difference = try changeText(value, ofRow: row, in: number, store)
    // The commit of ANALYZE leaves that page as it is.
    if value == "x" { try shiftChecksum(of: number + 1, by: difference, store) }
    // By its checksums nothing is wrong with it.
    var damages: [Verification.Damage] = []
    _ = try Verification(store: store.path, store.environment) { damages.append($0) }.run()
    #expect(damages == [])
    try expectDifference(
      store, number, without: isCompared ? nil : .compareContents,
      "table other, row \(row): (\(row), '\(value == "last" ? "Last" : "X")') in the record, (\(row), '\(value)') replayed"
    )
  }

  /// Writes the text `value` of a row of `other` in capitals, wherever commit `number` has it. Returns by what the
  /// checksum of the database differs.
  private func changeText(
    _ value: String, ofRow row: Int, in number: UInt64, _ store: TestStore
  ) throws -> UInt64 {
    try changePages(of: number, store) { bytes in
      if let place = place(ofText: value, ofRow: row, in: bytes) { bytes[place] -= 0x20 }
    }
  }

  /// Changes a byte of the page with that row that says nothing, in the room between the page's cells.
  private func changeRoom(
    besideText value: String, ofRow row: Int, in number: UInt64, _ store: TestStore
  ) throws -> UInt64 {
    try changePages(of: number, store) { bytes in
      guard place(ofText: value, ofRow: row, in: bytes) != nil else { return }
      let cells = Int(bytes[3]) << 8 | Int(bytes[4])
      bytes[8 + 2 * cells + 8] ^= 1
    }
  }

  /// Behind the row's header; only one page has it.
  private func place(ofText value: String, ofRow row: Int, in bytes: [UInt8]) -> Int? {
    let cell = [UInt8(row), 3, 0, UInt8(13 + 2 * value.utf8.count)] + Array(value.utf8)
    return (0..<bytes.count - cell.count).first { Array(bytes[$0..<$0 + cell.count]) == cell }
      .map { $0 + 4 }
  }

  private func changePages(
    of number: UInt64, _ store: TestStore, _ change: (inout [UInt8]) -> Void
  ) throws -> UInt64 {
    var difference: UInt64 = 0
    try forge(store, number) { sections in
      difference = try CommitMeta(decoding: sections[.meta]).checksum.value
      for entry in try PageEntry.decode(sections[.index], base: 0) {
        try sections.page(entry.page, change)
      }
      difference ^= try CommitMeta(decoding: sections[.meta]).checksum.value
    }
    return difference
  }

  /// Of a commit that leaves a page as it is which an earlier one was made to change.
  private func shiftChecksum(of number: UInt64, by difference: UInt64, _ store: TestStore) throws {
    try forge(store, number) {
      try $0.meta { $0.checksum = DatabaseChecksum($0.checksum.value ^ difference) }
    }
  }

  /// The last batch of a commit.
  private func last(of number: UInt64, _ store: TestStore) throws -> TxID {
    var last = TxID.zero
    try ChangeFeed(path: store.path, from: TxID(1), environment: store.environment).advance {
      if $0.commit == number { last = $0.txid }
    }
    return last
  }

  private func makeCheckpoint(of txid: TxID, _ store: TestStore) throws {
    let pages = try PageStore(path: store.path, environment: store.environment)
    try Checkpoint(of: pages.handle).make(of: pages.published(.asOf(.txid(txid))))
  }

  /// Pages differ from a commit on, in a byte that says nothing.
  @Test(
    "Where pages differ, the content is compared at a checkpoint that is passed",
    arguments: [true, false])
  func passedCheckpoint(_ hasCheckpoint: Bool) throws {
    let store = try worked()
    try work(store)
    let number = try commit(of: "INSERT INTO other(v) VALUES('x')", store)
    let difference = try changeRoom(besideText: "x", ofRow: 2, in: number, store)
    // The commit of ANALYZE leaves that page as it is, and the one behind it writes it anew.
    try shiftChecksum(of: number + 1, by: difference, store)
    let (passed, next) = try (last(of: number, store), last(of: number + 1, store))
    if hasCheckpoint { try makeCheckpoint(of: passed, store) }
    let summary = try replay(store).summary
    #expect(summary.comparedContents == (hasCheckpoint ? [passed, next] : [next]))
    #expect(summary.samePages == summary.commits - 2)
  }

  /// At the end, where all is compared as well, the row is right again, and pages differ.
  @Test("What only a checkpoint that is passed has is found", arguments: [true, false])
  func differenceOfACheckpoint(_ hasCheckpoint: Bool) throws {
    let store = try worked()
    try work(store)
    let number = try commit(of: "INSERT INTO other(v) VALUES('x')", store)
    let difference = try changeText("x", ofRow: 2, in: number, store)
    try shiftChecksum(of: number + 1, by: difference, store)
    _ = try changeRoom(besideText: "last", ofRow: 3, in: number + 2, store)
    guard hasCheckpoint else {
      let summary = try replay(store).summary
      return #expect(summary.comparedContents == [summary.last])
    }
    try makeCheckpoint(of: last(of: number, store), store)
    try expectDifference(
      store, number, without: nil, "table other, row 2: (2, 'X') in the record, (2, 'x') replayed")
  }

  @Test("Pages that are not those of the database that is recorded")
  func inconsistentPage() throws {
    let store = try worked()
    try work(store)
    let number = try commit(of: "INSERT INTO other(v) VALUES('x')", store)
    store.isDamagedOnPurpose = true
    try forge(store, number) { sections in
      let entries = try PageEntry.decode(sections[.index], base: 0)
      let meta = sections[.meta]
      try sections.page(try #require(entries.last).page) { $0[$0.count - 1] ^= 1 }
      sections[.meta] = meta
    }
    let text = try failure(store)
    #expect(text.contains("at commit \(number) (batch "), "\(text)")
    #expect(text.contains("its pages give the database the checksum"), "\(text)")
  }

  @Test("Another time", arguments: [true, false])
  func time(_ isCompared: Bool) throws {
    let store = try worked()
    try work(store)
    let number = try commit(of: "INSERT INTO t(v) VALUES('second')", store)
    try forge(store, number) { try $0.meta { $0.time_ms -= 3_600_000 } }
    // Not at the end, where it is found, but where it began.
    try expectDifference(
      store, number, without: isCompared ? nil : .compareContents,
      "table t, row 2: (2, 'second', '", "table _sluice_state, row 1")
  }

  @Test("Another entropy", arguments: [true, false])
  func entropy(_ isCompared: Bool) throws {
    let store = try worked()
    try work(store)
    let number = try commit(of: "INSERT INTO other(v) VALUES(random())", store)
    try forge(store, number) {
      try $0.meta { $0.entropy = Identifier128(high: 1, low: 2) }
    }
    let text = try expectDifference(
      store, number, without: isCompared ? nil : .compareContents, "table other, row 1: (1, ")
    #expect(!text.contains("table t,"), "\(text)")
  }

  /// What a later batch returned is other for it, too, and was compared before.
  @Test("The first difference is named, not the first that shows")
  func firstDifference() throws {
    let store = try worked()
    let writer = try store.writer()
    for batch in [
      Batch([Batch.Statement("INSERT INTO other(v) VALUES(random())")]),
      Batch([Batch.Statement("ANALYZE other")]),
      Batch(
        [Batch.Statement("INSERT INTO t(v) SELECT v FROM other RETURNING v")], wantsResults: true),
    ] { _ = try writer.submitBlocking(batch) }
    try store.drain()
    writer.closeBlocking()
    let number = try commit(of: "INSERT INTO other(v) VALUES(random())", store)
    #expect(try commits(store) == number + 2)
    try forge(store, number) {
      try $0.meta { $0.entropy = Identifier128(high: 1, low: 2) }
    }
    let text = try failure(store)
    #expect(text.contains("at commit \(number) (batch "), "\(text)")
    #expect(text.contains("table other, row 1: (1, "), "\(text)")
    store.environment.omittedChecks = [.compareContents]
    #expect(try failure(store).contains("at commit \(number + 2) (batch "))
  }

  @Test("A checkpoint of another history")
  func otherCheckpoint() throws {
    let store = try worked()
    try work(store)
    let pages = try PageStore(path: store.path, environment: store.environment)
    try Checkpoint(of: pages.handle).make(of: pages.published())
    try work(store)
    let txid = try pages.snapshot(.asOf(.txid(TxID(11)))).txid
    let path = store.layout.sidecar(of: txid)
    let other = try CheckpointSidecar(
      path: path, store: pages.description.id, fileSystem: store.environment.fileSystem)
    var header = other.header
    header.checksum.toggle(page: 1, crc: 1)
    store.isDamagedOnPurpose = true
    let checksums = try (1...header.pageCount).map { try other.crc(ofPage: $0) }
    try store.environment.fileSystem.unlink(path)
    try CheckpointSidecar.write(
      header, checksums: checksums, to: store.environment.fileSystem.create(path, mode: 0o444))
    let text = try failure(store)
    #expect(text.contains("checkpoint 11 has the checksum"), "\(text)")
  }

  @Test(
    "Of several batches in a commit, those that change the table, by a trigger too",
    arguments: ["INSERT INTO other(v) VALUES(random())", "INSERT INTO fires VALUES(1)"])
  func severalBatches(_ sql: String) throws {
    let store = try worked()
    try store.apply(
      "CREATE TABLE fires(a)",
      "CREATE TRIGGER fire AFTER INSERT ON fires BEGIN INSERT INTO other(v) VALUES(random()); END")
    try store.apply([
      Batch([Batch.Statement("INSERT INTO t(v) VALUES(1)")]),
      Batch([Batch.Statement(sql)]),
      Batch([Batch.Statement("INSERT INTO t(v) VALUES(3)")]),
    ])
    try forge(store, try commits(store)) {
      try $0.meta { $0.entropy = Identifier128(high: 1, low: 2) }
    }
    let text = try failure(store)
    #expect(text.contains("(batches 4 to 6, "), "\(text)")
    #expect(text.contains("of its batches, 5 change that table"), "\(text)")
  }

  @Test(
    "Where another SQLite executed, that is said",
    arguments: [
      ("architecture", "SQLite on sparc, and this is"),
      ("source id", "the SQLite of 1999-12-31, and this is that of"),
      ("options", "this SQLite, built with other options"),
    ])
  func engine(_ what: String, _ text: String) throws {
    let store = try worked()
    var notes: [String] = []
    try forge(store, try commits(store)) { _ in }
    _ = try Replay.run(
      RecordedHistory(store: store.path, store.environment), into: "\(store.path)/replayed",
      note: { notes.append($0) })
    #expect(notes == [])
    var log = try ForgedLog(store.layout, store.environment)
    try log.changeEngine {
      switch what {
      case "architecture": $0.architecture = "sparc"
      case "source id": $0.sourceID = "1999-12-31 00:00:00 \($0.sourceID.suffix(64))"
      default: $0.compileOptions += "\nANOTHER"
      }
    }
    try log.write(store.environment)
    _ = try Replay.run(
      RecordedHistory(store: store.path, store.environment), into: "\(store.path)/again",
      note: { notes.append($0) })
    #expect(
      notes.count == 1 && notes[0].contains("batches 2 to 2 were executed by \(text)"),
      "\(notes)")
  }
}
