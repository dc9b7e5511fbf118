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
    var difference: UInt64 = 0
    try forge(store, number) { sections in
      difference = try CommitMeta(decoding: sections[.meta]).checksum.value
      for entry in try PageEntry.decode(sections[.index], base: 0) {
        try sections.page(entry.page) { bytes in
          // The row's header and its text; only one page has it.
          let row = [3, 0, UInt8(13 + 2 * value.utf8.count)] + Array(value.utf8)
          for i in 0..<bytes.count - row.count where Array(bytes[i..<i + row.count]) == row {
            bytes[i + 3] -= 0x20
          }
        }
      }
      difference ^= try CommitMeta(decoding: sections[.meta]).checksum.value
    }
    if value == "x" {
      // The commit of ANALYZE leaves that page as it is.
      try forge(store, number + 1) {
        try $0.meta { $0.checksum = DatabaseChecksum($0.checksum.value ^ difference) }
      }
    }
    // By its checksums nothing is wrong with it.
    var damages: [Verification.Damage] = []
    _ = try Verification(store: store.path, store.environment) { damages.append($0) }.run()
    #expect(damages == [])
    try expectDifference(
      store, number, without: isCompared ? nil : .compareContents,
      "table other, row \(row): (\(row), '\(value == "last" ? "Last" : "X")') in the record, (\(row), '\(value)') replayed"
    )
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
    try Checkpoint(
      layout: store.layout, store: pages.description.id, environment: store.environment
    ).make(of: pages.published())
    try work(store)
    let txid = try pages.snapshot(.asOf(.txid(TxID(11)))).txid
    let path = "\(store.layout.checkpoints)/\(StoreLayout.sidecarName(txid))"
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

  @Test("Of several batches in a commit, those that name the table")
  func severalBatches() throws {
    let store = try worked()
    try store.apply([
      Batch([Batch.Statement("INSERT INTO t(v) VALUES(1)")]),
      Batch([Batch.Statement("INSERT INTO other(v) VALUES(random())")]),
      Batch([Batch.Statement("INSERT INTO t(v) VALUES(3)")]),
    ])
    try forge(store, try commits(store)) {
      try $0.meta { $0.entropy = Identifier128(high: 1, low: 2) }
    }
    let text = try failure(store)
    #expect(text.contains("(batches 3 to 5, "), "\(text)")
    #expect(text.contains("of its batches, 4 name that table"), "\(text)")
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
