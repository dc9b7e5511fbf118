import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@Suite("What is lost is told, what is left is recovered, and nothing is deleted")
struct RepairTests {
  @Test("Of a whole store nothing is to be done")
  func whole() throws {
    let store = try WorkedStore()
    #expect(try store.repair().steps == [])
    #expect(try store.names("\(store.path)").contains("repaired") == false)
  }

  // MARK: what can be had is made anew

  @Test(
    "Without its newest checkpoint, or with damage in it",
    arguments: ["gone", "page", "sums", "header", "half", "other half"])
  func newestCheckpoint(_ how: String) throws {
    let store = try WorkedStore()
    let before = try store.rows()
    let database = "\(store.layout.checkpoints)/\(StoreLayout.checkpointName(TxID(6)))"
    let sidecar = "\(store.layout.checkpoints)/\(StoreLayout.sidecarName(TxID(6)))"
    let fileSystem = store.environment.fileSystem
    switch how {
    case "gone":
      try fileSystem.unlink(database)
      try fileSystem.unlink(sidecar)
    case "page": try store.flip(database, 4096 + 700)
    case "sums": try store.flip(sidecar, 4096 + 9)
    case "header": try store.flip(sidecar, 41)
    case "half": try fileSystem.unlink(sidecar)
    default: try fileSystem.unlink(database)
    }
    let plan = try store.repair()
    #expect(!plan.damages.isEmpty && plan.lost == [])
    #expect(plan.steps.contains(.checkpoint(TxID(7))), "\(plan.steps)")
    try store.isWhole(with: before, at: TxID(7))
    #expect(try store.kept() == (how == "gone" ? 0 : how.hasSuffix("half") ? 1 : 2))
  }

  @Test("Without current.sqlite, or with one that leads elsewhere", arguments: [nil, "elsewhere"])
  func current(_ target: String?) throws {
    let store = try WorkedStore()
    let before = try store.rows()
    if let target {
      try store.environment.fileSystem.replaceSymbolicLink(store.layout.current, target: target)
    } else {
      try store.environment.fileSystem.unlink(store.layout.current)
    }
    #expect(try store.repair().steps.contains(.current))
    try store.isWhole(with: before, at: TxID(7))
    let led = try store.environment.fileSystem.readSymbolicLink(store.layout.current)
    #expect(led == "checkpoints/\(StoreLayout.checkpointName(TxID(7)))")
  }

  @Test("Without store.json, or with any byte of it changed")
  func description() throws {
    let store = try WorkedStore()
    let before = try store.rows()
    let path = store.layout.description
    let fileSystem = store.environment.fileSystem
    let content = try fileSystem.open(path, .fixed).read(4096, at: 0)
    for offset in stride(from: -1, to: Int64(content.count), by: 1) {
      if offset < 0 { try fileSystem.unlink(path) } else { try store.flip(path, offset) }
      let plan = try store.repair(transactions: .all)
      #expect(plan.steps.count == 1 && plan.lost == [], "byte \(offset): \(plan.steps)")
      #expect(try fileSystem.open(path, .fixed).read(4096, at: 0) == content, "byte \(offset)")
    }
    try store.isWhole(with: before, at: TxID(7))
  }

  @Test("The right to transactions is never given back by an older copy of store.json")
  func takenAwayRight() throws {
    let store = try WorkedStore()
    let fileSystem = store.environment.fileSystem
    func right() throws -> TransactionRight {
      try StoreDescription.read(store.layout, fileSystem).transactions
    }
    func change(to right: TransactionRight) throws {
      _ = try LeaseChange(store: store.store.path, name: "test", environment: store.unhurried)
        .make(nil, transactions: right)
      #expect(try store.damages() == [])
    }
    for taken in [TransactionRight.none, .users([5])] {
      try change(to: taken)
      try fileSystem.unlink(store.layout.description)
      #expect(try store.repair().withheldRight == .all)
      #expect(try right() == .none)
    }
    try fileSystem.unlink(store.layout.description)
    #expect(try store.repair(transactions: .groups([7])).withheldRight == nil)
    #expect(try right() == .groups([7]))
    // What store.json itself says counts, and it is left alone where something else is mended.
    try change(to: .users([5]))
    try fileSystem.unlink(store.layout.current)
    #expect(try store.repair().withheldRight == nil)
    #expect(try right() == .users([5]))
  }

  @Test("Without store.json, and without a copy of it, somebody has to say what nothing says")
  func descriptionWithoutCopy() throws {
    let store = try WorkedStore()
    try store.forgetCopies()
    let id = try StoreDescription.read(store.layout, store.environment.fileSystem).id
    try store.environment.fileSystem.unlink(store.layout.description)
    var repair = store.newRepair()
    do {
      let error = #expect(throws: StoreError.self) {
        try repair.plan()
      }
      #expect(error?.message.contains("--foreign-keys") == true)
    }
    repair.describe(lease: .file, foreignKeys: true, transactions: .all)
    try repair.perform(try repair.plan())
    let read = try StoreDescription.read(store.layout, store.environment.fileSystem)
    #expect(
      read == StoreDescription(id: id, pageSize: 4096, lease: .file, foreignKeys: true))
  }

  @Test("A damaged page in the log behind the last checkpoint is made again by its batches")
  func pageOfTheLog() throws {
    let store = try WorkedStore()
    let before = try store.rows()
    try store.flip(section: .pages, of: TxID(7))
    let plan = try store.repair()
    #expect(plan.steps == [.segment, .checkpoint(TxID(7)), .current], "\(plan.steps)")
    #expect(try store.rows() == before)
    // What is damaged stays where it is, before a checkpoint that nobody reads behind it.
    try store.goesOn(behind: TxID(7))
  }

  @Test("Damage that lies before a checkpoint is listed, and needs nothing")
  func oldDamage() throws {
    let store = try WorkedStore()
    let before = try store.rows()
    try store.flipFrame(of: TxID(2))
    let plan = try store.repair()
    #expect(plan.steps == [] && plan.lost == [TxID(2)...TxID(4)])
    #expect(try store.told(plan) == ["nothing 2...4"])
    #expect(try store.rows() == before)
    // Before it all is there, too.
    #expect(try store.query("SELECT count(*) FROM t", asOf: TxID(1)) == [[.integer(0)]])
  }

  @Test(
    "A beacon that cannot be read, and a mark that nobody set",
    arguments: [8192, 12288, 77] as [Int64])
  func control(_ offset: Int64) throws {
    let store = try WorkedStore()
    let before = try store.rows()
    try store.flip(try #require(store.segments().last), offset)
    let plan = try store.repair()
    #expect(plan.lost == [] && plan.steps.contains(.segment), "\(plan.steps)")
    #expect(try store.rows() == before)
    try store.goesOn(behind: TxID(7))
  }

  // MARK: what cannot be had is given up, and told

  @Test("A frame of the log behind the last checkpoint")
  func lostFrame() throws {
    let store = try WorkedStore()
    try store.flipFrame(of: TxID(7))
    let plan = try store.repair()
    #expect(plan.lost == [TxID(7)...TxID(7)] && !plan.losesUnknown)
    #expect(try store.told(plan) == ["nothing 7...7"])
    try store.isWhole(with: store.rowsOfBatch6, at: WorkedStore.line)
    try store.goesOn(behind: WorkedStore.line)
    // What was there is not deleted, and can be replayed.
    let again = "\(store.path)-again"
    defer { try? store.environment.fileSystem.unlink(again) }
    _ = try Replay.run(
      try RecordedHistory(
        archive: store.keptDirectory(), foreignKeys: true, store.environment),
      into: again, to: .txid(TxID(6)))
  }

  @Test("What is behind a lost frame is listed batch by batch, with what is known of it")
  func lostTail() throws {
    let store = try WorkedStore()
    try store.apply([
      Batch([Batch.Statement("INSERT INTO t(v) VALUES('eight')")], key: "eight"),
      Batch([Batch.Statement("INSERT INTO nowhere VALUES(9)")]),
    ])
    try store.flipFrame(of: TxID(7))
    let plan = try store.repair()
    #expect(plan.lost == [TxID(7)...TxID(9)])
    let told = try store.told(plan)
    #expect(told.count == 3 && told[0] == "nothing 7...7", "\(told)")
    #expect(told[1] == "8 eight INSERT INTO t(v) VALUES('eight')")
    #expect(told[2] == "9 nil INSERT INTO nowhere VALUES(9)")
    try store.isWhole(with: store.rowsOfBatch6, at: WorkedStore.line)
  }

  @Test("The whole log, and its directory", arguments: [false, true])
  func lostLog(withDirectory: Bool) throws {
    let store = try WorkedStore()
    if withDirectory {
      removeTree(store.layout.log)
    } else {
      for path in try store.segments() { try store.environment.fileSystem.unlink(path) }
    }
    let plan = try store.repair()
    #expect(plan.losesUnknown)
    #expect(plan.steps.contains(.directory(store.layout.log)) == withDirectory)
    try store.isWhole(with: store.rowsOfBatch6, at: WorkedStore.line)
    // Of the one line that began.
    #expect(try store.checkpointFiles().count == 2)
    try store.goesOn(behind: WorkedStore.line)
  }

  @Test("Directories are made as `init` makes them, and durably before anything else")
  func directories() throws {
    let store = try WorkedStore()
    let fileSystem = store.environment.fileSystem
    func rights() throws -> [UInt32] {
      try store.layout.directories.map { try fileSystem.status($0.path).permissions & 0o7777 }
    }
    let before = try rights()
    removeTree(store.layout.journal)
    removeTree(store.layout.log)
    let plan = try store.newRepair().plan()
    #expect(
      plan.steps.prefix(2) == [.directory(store.layout.journal), .directory(store.layout.log)])
    let files = RemovalNotingFileSystem(fileSystem)
    store.store.environment.fileSystem = files
    try store.newRepair().perform(plan)
    let root = try #require(store.path.split(separator: "/").last)
    #expect(files.noted.prefix(4) == ["sync \(root)", "sync journal", "sync \(root)", "sync log"])
    store.store.environment.fileSystem = fileSystem
    #expect(try rights() == before)
    try store.isWhole(with: store.rowsOfBatch6, at: WorkedStore.line)
  }

  @Test("log/old is not missed where something else is repaired")
  func withoutOldLog() throws {
    let store = try WorkedStore()
    let before = try store.rows()
    removeTree(store.layout.oldLog)
    #expect(try store.damages() == [])
    try store.flip("\(store.layout.checkpoints)/\(StoreLayout.checkpointName(TxID(6)))", 5000)
    try store.repair()
    #expect(try store.damages() == [] && store.rows() == before)
  }

  @Test("The newest segment, or its header", arguments: [true, false])
  func lostSegment(_ isGone: Bool) throws {
    let store = try WorkedStore()
    let newest = try #require(store.segments().last)
    if isGone {
      try store.environment.fileSystem.unlink(newest)
    } else {
      try store.flip(newest, 4096 + 33)
    }
    // Nobody goes on before that is decided, and leaves something with each try.
    let names = try store.names(store.layout.log)
    for _ in 0..<3 {
      #expect(throws: StoreError.self) { try store.drain() }
      #expect(try store.names(store.layout.log) == names)
    }
    let plan = try store.repair()
    #expect(plan.losesUnknown)
    try store.isWhole(with: store.rowsOfBatch6, at: WorkedStore.line)
    try store.goesOn(behind: WorkedStore.line)
  }

  /// It linked its segment behind one that is lost, and gave up.
  @Test("A lost segment beneath a claimant's")
  func lostBeneath() throws {
    let store = try WorkedStore()
    try store.environment.fileSystem.unlink(try #require(store.segments().last))
    try store.linkEmptySegment(7)
    let names = try store.names(store.layout.log)
    #expect(throws: StoreError.self) { try store.drain() }
    #expect(try store.names(store.layout.log) == names)
    #expect(try store.repair().losesUnknown)
    try store.isWhole(with: store.rowsOfBatch6, at: WorkedStore.line)
    try store.goesOn(behind: WorkedStore.line)
  }

  @Test("Without that refusal TxIDs would be given twice")
  func withoutRefusal() throws {
    let store = try WorkedStore()
    store.store.environment.omittedChecks = [.successorOfMarked]
    try store.environment.fileSystem.unlink(try #require(store.segments().last))
    try store.apply("INSERT INTO t(v) VALUES('another')")
    // It was batch 7 before, and somebody may have been told so.
    #expect(try PageStore(path: store.path, environment: store.environment).current.txid == TxID(7))
  }

  /// As where a service copied the log, and later a checkpoint that was made since.
  @Test("A log of an earlier time than a checkpoint", arguments: [true, false])
  func logOfAnEarlierTime(isRefused: Bool) throws {
    let original = try WorkedStore()
    let store = try original.copied()
    if !isRefused { store.store.environment.omittedChecks = [.checkpointWithinLog] }
    try original.apply("INSERT INTO t(v) VALUES('later')")
    let later = try original.rows()
    try WorkedStore.checkpoint(original.store)
    for name in [StoreLayout.checkpointName(TxID(8)), StoreLayout.sidecarName(TxID(8))] {
      try copyTree(
        "\(original.layout.checkpoints)/\(name)", to: "\(store.layout.checkpoints)/\(name)")
    }
    guard isRefused else {
      // The same TxID names two batches.
      store.store.isDamagedOnPurpose = true
      try store.apply("INSERT INTO t(v) VALUES('another')")
      #expect(try store.damages().contains { $0.what.contains("and the log has") })
      return
    }
    let names = try store.names(store.layout.log)
    let error = #expect(throws: StoreError.self) { try store.drain() }
    #expect(error?.message.contains("checkpoint 8 is later than the log") == true)
    #expect(try store.names(store.layout.log) == names)
    try store.repair()
    try store.isWhole(with: later, at: WorkedStore.line)
    try store.goesOn(behind: WorkedStore.line)
  }

  @Test("Without a whole checkpoint nothing is guessed", arguments: [false, true])
  func noCheckpoint(withDirectory: Bool) throws {
    let store = try WorkedStore()
    store.store.isDamagedOnPurpose = true
    for path in try store.checkpointFiles() { try store.environment.fileSystem.unlink(path) }
    if withDirectory { removeTree(store.layout.checkpoints) }
    do {
      let error = #expect(throws: StoreError.self) {
        try store.repair()
      }
      #expect(error?.code == .damaged)
    }
  }

  @Test("A second loss begins a second line")
  func twice() throws {
    let store = try WorkedStore()
    try store.flipFrame(of: TxID(7))
    try store.repair()
    try store.apply("INSERT INTO t(v) VALUES('new')")
    for path in try store.segments() { try store.environment.fileSystem.unlink(path) }
    try store.repair()
    try store.isWhole(with: store.rowsOfBatch6, at: TxID(2_000_000_000_000))
    let description = try StoreDescription.read(store.layout, store.environment.fileSystem)
    #expect(description.lost.map(\.lowerBound) == [TxID(7), TxID(1_000_000_000_001)])
  }
}
