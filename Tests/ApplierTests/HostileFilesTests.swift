import Foundation
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// Files in the journal whose owners mean no good, or whose device fails just there.
@Suite("What a file in the journal does is its writer's problem")
struct HostileFilesTests: HostileStore {
  let store: TestStore

  init() throws { store = try Self.makeStore() }

  // MARK: Open files

  /// More writers wait than files can be open, whether the applier knows how many can be or finds out.
  @Test(arguments: [4, 8, 1000])
  func moreWritersWaitThanFilesCanBeOpen(_ openSegments: Int) throws {
    for n in 1...120 {
      try store.journal().flush([insert(Int64(n)).encoded()], ends: n % 2 == 0)
    }
    let files = NarrowFileSystem(store.environment.fileSystem, limit: 12)
    store.environment.fileSystem = files
    store.options.openSegments = openSegments
    try store.drain()
    #expect(try count() == 120)
    let state = files.state.withLock { $0 }
    #expect(state.refused == 0 || openSegments > 12, "\(state)")
    #expect(state.most <= 12)
    #expect(state.open == 0)
  }

  /// A writer goes on in a segment that was closed here and is opened anew.
  @Test func aSegmentThatWasClosedIsReadOn() throws {
    store.options.openSegments = 1
    var journals: [JournalWriter] = []
    for n in 0..<20 {
      let journal = try store.journal()
      try journal.flush([insert(Int64(n)).encoded()])
      journals.append(journal)
    }
    var hasWritten = false
    try run(until: {
      if !hasWritten, try count() == 20 {
        for (n, journal) in journals.enumerated() {
          try journal.flush([insert(Int64(n) + 100).encoded()])
        }
        hasWritten = true
      }
      return try count() == 40
    })
  }

  // MARK: Every error

  /// Each file fails in one kind of call with one error, for ever, and there is one for each pair.
  @Test func anyErrorOfAnyCallOnAFileStopsNobodyElse() throws {
    let files = SpitefulFileSystem(store.environment.fileSystem)
    // Fewer where each takes long.
    let errnos = Array(stride(from: Int32(1), through: 133, by: TestStore.patience))
    var n: Int64 = 0
    for call in FileCall.allCases {
      for errno in errnos {
        n += 1
        let journal = try store.journal()
        try journal.flush([insert(n).encoded()])
        let path = path(try #require(journal.writer), 1)
        files.plan[path] = (call, errno)
        // Something torn, for which it goes to quarantine.
        let writable = try store.environment.fileSystem.open(path, .write)
        if call == .link || call == .nextData { try writable.write([7], at: 40_000) }
      }
    }
    var environment = store.environment
    environment.fileSystem = files
    store.options.retireAfter = .milliseconds(20)
    var isSecond = false
    let last = Monitor<Receipt?>(nil)
    let writer = try store.writer()
    try run(
      environment,
      until: {
        if !isSecond, files.met.withLock({ $0.count }) == files.plan.count {
          last.withLock { $0 = try? writer.submitBlocking(insert(10_000)) }
          isSecond = true
        }
        return isSecond ? try store.query("SELECT 1 FROM t WHERE a = 10000") == [[1]] : false
      })
    // What could be read of them is applied, also where the file can then not be closed or removed.
    let readable =
      FileCall.allCases.filter { ![.open, .status, .read, .lookUp].contains($0) }.count
      * errnos.count
    #expect(try count() >= readable + 1)
    // There is no call that none of them fails in.
    #expect(files.others.withLock { $0 } == [])
  }

  /// The name is another kind of thing's when the segment is to be closed, moved or removed.
  @Test(arguments: ["directory", "fifo", "link", "nothing", "other"])
  func aNameThatIsSwappedEndsNoTerm(_ kind: String) throws {
    let journal = try store.journal()
    try journal.flush([insert(1).encoded()])
    let path = path(try #require(journal.writer), 1)
    let files = store.environment.fileSystem
    store.options.retireAfter = .milliseconds(300)
    var isSwapped = false
    var submitted = false
    try run(until: {
      if !isSwapped, try count() == 1 {
        try files.unlink(path)
        switch kind {
        case "directory": try files.makeDirectory(path, mode: 0o755)
        case "fifo": makeFIFO(path)
        case "link": try files.replaceSymbolicLink(path, target: "/etc/passwd")
        case "other": try files.create(path, mode: 0o600).resize(to: 65536)
        default: break
        }
        isSwapped = true
      }
      guard isSwapped else { return false }
      SystemClock().sleep(.milliseconds(5))
      if !submitted {
        SystemClock().sleep(.milliseconds(600))
        _ = try store.writer().submitBlocking(insert(2))
        submitted = true
      }
      return try count() == 2
    })
  }

  /// It may hold what was acknowledged, and its writer cannot be told that it is closed: so it stays, is told, and
  /// costs little.
  @Test(arguments: [true, false]) func aFileThatMayNotBeOpenedWaitsAndIsTold(_ isReadable: Bool)
    throws
  {
    let files = LockedFileSystem(store.environment.fileSystem)
    let log = Log(of: try store.handle)
    let journal = try store.journal()
    try journal.flush([insert(1).encoded()])
    files.locked = path(try #require(journal.writer), 1)
    files.isReadable = isReadable
    store.environment.fileSystem = files
    store.options.retireAfter = .milliseconds(20)
    _ = try store.writer().submitBlocking(insert(2))
    try run(until: { try count() == (isReadable ? 2 : 1) && files.refusals.withLock { $0 } > 1 })
    #expect(try log.present().beacon.status.ignored == 1)
    #expect(files.refusals.withLock { $0 } < 10)
    files.locked = ""
    try run(until: { try store.names(store.layout.journal) == ["quarantine"] })
    #expect(try count() == 2)
    #expect(try log.present().beacon.status.ignored == 0)
    #expect(try store.names(store.layout.quarantine).isEmpty)
  }

  /// However many there are, one is tried in 10 ms at most.
  @Test func filesThatMayNotBeOpenedAreTriedSeldom() {
    var held = HeldBack()
    let error = StoreError(.io, "open failed: Permission denied", errno: EACCES)
    let writers = (1...10_000).map { WriterID(high: 1, low: UInt64($0)) }
    var now = Duration.seconds(1)
    var tries = 0
    while now < .seconds(4000) {
      held.goOn(now)
      for writer in writers where !held.has(writer) {
        _ = held.holdBack(writer, error, now)
        if now > .seconds(2000) { tries += 1 }
      }
      now += .seconds(1)
    }
    #expect(tries <= 2000 * 100)
    #expect(held.forbiddenCount == 10_000)
    for writer in writers { held.forget(writer) }
    #expect(held.forbiddenCount == 0 && held.knownCount == 0)
  }

  // MARK: Another writer's name

  /// A batch under another's next number, a far number, and in a file of which nothing can be read. The
  /// check taken out: the true batch is a silent repeat.
  @Test(arguments: [true, false])
  func anotherUsersFileUnderAWritersIdIsIgnored(_ isChecked: Bool) throws {
    let files = OwningFileSystem(store.environment.fileSystem)
    store.environment.fileSystem = files
    if !isChecked { store.environment.omittedChecks = [.ownWriter] }
    let journal = try store.journal()
    try journal.flush([insert(1).encoded()], ends: true)
    try store.drain()
    let writer = try #require(journal.writer)
    let forged = path(writer, 90)
    files.owners.withLock { $0[forged] = 4242 }
    let description = try StoreDescription.read(store.layout, files)
    let header = JournalSegmentHeader(
      store: description.id, id: .init(writer: writer, number: 90), nonce: 5,
      firstSequence: SequenceNumber(2), predecessor: nil, created_ms: 1)
    let block = header.encoded()
    let batch = try insert(666).encoded()
    let frame = EncodedFrame(
      kind: .batches, offset: 8192, nonce: 5,
      previous: JournalSegmentHeader.checksum(of: block), first: 2, count: 1,
      sections: [
        SectionContent(
          .batches,
          raw: withUnsafeBytes(of: UInt32(batch.count).littleEndian) { Array($0) } + batch)
      ])
    let file = try files.create(forged, mode: 0o660)
    try file.write([UInt8](repeating: 0, count: 4096) + block + frame.bytes, at: 0)
    try file.resize(to: 65536)
    try store.drain()
    try journal.flush([insert(2).encoded()], ends: true)
    try store.drain()
    #expect(try store.query("SELECT a FROM t") == (isChecked ? [[1], [2]] : [[1], [666]]))
    guard isChecked else { return }
    // It is closed for who writes it, told in the status, and in nobody's way.
    #expect(try Mark.isClosed(file))
    let log = Log(of: try store.handle)
    #expect(try log.present().beacon.status.ignored == 1)
    #expect(
      try store.query("SELECT DISTINCT owner FROM _sluice_writers") == [[.integer(Int64(getuid()))]]
    )
  }

  /// A process that has become another user's goes on under another id.
  @Test func aWriterThatBecomesAnotherUserTakesANewId() throws {
    let files = OwningFileSystem(store.environment.fileSystem)
    store.environment.fileSystem = files
    let writer = try store.writer()
    let first = try writer.submitBlocking(insert(1))
    for number in UInt64(2)...9 {
      files.owners.withLock { $0[path(first.batch.writer, number)] = 4242 }
    }
    // It goes on in its open segment; in the next one it would be a stranger.
    func large(_ n: Int64) -> Batch {
      Batch([
        Batch.Statement(
          "INSERT INTO t VALUES(?) -- \(UUID()) \((0..<3000).map { _ in "\(UInt64.random(in: 0 ... .max))" }.joined())",
          [.integer(n)])
      ])
    }
    let error = #expect(throws: StoreError.self) {
      for n in Int64(2)...9 { _ = try writer.submitBlocking(large(n)) }
    }
    #expect(error?.code == .notSubmitted)
    try store.drain()
    // What was submitted before is applied and gone.
    store.options.retireAfter = .milliseconds(20)
    try run(until: { try store.names(store.layout.journal) == ["quarantine"] })
    let second = try writer.submitBlocking(insert(100))
    #expect(second.batch.writer != first.batch.writer)
    try store.drain()
    #expect(try store.query("SELECT count(*) FROM t WHERE a = 100") == [[1]])
  }
}
