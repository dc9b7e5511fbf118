import Glibc
import SluiceFakes
import SluiceHints
import SluiceJournal
import SluiceLease
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier

/// What a leader does, and what it asks others.
extension MeasureTests {
  func committing() throws {
    let term = try MeasuredLeader(measured, store)
    try term.step()
    measured.expect(.commitSeconds, "_count", is: 0)
    let writer = try store.writer()
    for result in writer.submitBlocking([insert(1), insert(2), insert(1)]) { _ = try result.get() }
    let before = term.leader.holder.usedBytes
    try term.beat()
    let commits = try #require(measured.value(.commitSeconds, "_count"))
    #expect((1...3).contains(commits))
    measured.expect(.commitBatches, "_count", is: commits)
    measured.expect(.commitBatches, "_sum", is: 3)
    measured.expect(.commitBytes, "_count", is: commits)
    measured.expect(.commitBytes, "_sum", is: Double(term.leader.holder.usedBytes - before))
    // The second that is the same is rejected, and has its number.
    try term.beat()
    measured.expect(.rejected, is: 1)
    measured.expect(.txid, is: Double(try store.present().extent.txid.rawValue))
    #expect(try store.present().extent.txid.rawValue == 4)
    try term.stop()
  }

  /// Of other writers: segments in quarantine, and a directory that is called as a segment is.
  func findingFiles() throws {
    func leave(_ directory: String, _ number: UInt64) throws {
      let name = StoreLayout.journalName(.init(writer: WriterID(high: 1, low: 2), number: number))
      try store.environment.fileSystem.makeDirectory("\(directory)/\(name)", mode: 0o700)
    }
    for number in [UInt64(7), 8] { try leave(store.layout.quarantine, number) }
    let term = try MeasuredLeader(measured, store)
    try term.beat()
    measured.expect(.quarantined, is: 2)
    measured.expect(.ignored, is: 0)
    try leave(store.layout.journal, 9)
    for _ in 0..<3 { try term.beat() }
    measured.expect(.ignored, is: 1)
    try term.stop()
  }

  func missing() throws {
    let journal = try store.journal()
    for n in Int64(1)...4 { try journal.flush([insert(n).encoded()], ends: true) }
    let writer = try #require(journal.writer)
    for number in UInt64(2)...3 {
      let name = StoreLayout.journalName(.init(writer: writer, number: number))
      try store.environment.fileSystem.unlink("\(store.layout.journal)/\(name)")
    }
    let term = try MeasuredLeader(measured, store)
    for _ in 0..<10 where measured.value(.missing) != 2 { try term.beat() }
    measured.expect(.missing, is: 2)
    try term.stop()
  }

  func checkpoint() throws {
    let term = try MeasuredLeader(measured, store) { $0.checkpointAge = .seconds(1) }
    for n in Int64(1)...2 {
      _ = try store.writer().submitBlocking(insert(n))
      for _ in 0..<3 { try term.beat() }
      measured.expect(.checkpoints, is: Double(n))
    }
    measured.expect(.checkpointFailures, is: 0)
    try term.stop()
  }

  func failingCheckpoint() throws {
    store.environment.fileSystem = failing(.create, "/checkpoints/")
    let term = try MeasuredLeader(measured, store) { $0.checkpointAge = .seconds(1) }
    _ = try store.writer().submitBlocking(insert(1))
    for _ in 0..<3 { try term.beat() }
    measured.expect(.checkpointFailures, is: 1)
    measured.expect(.checkpoints, is: 0)
    try term.stop()
  }

  func hinting() throws {
    let hints = ThreadlessHints()
    let term = try MeasuredLeader(measured, store, hints: hints.network(arrives: {})) {
      $0.hints = .loopback
    }
    try term.beat()
    for measure in [Measure.hintsReceived, .hintsUseful, .hintsSent] {
      measured.expect(measure, is: 0)
    }
    var environment = store.environment
    environment.hints = hints.network(arrives: {})
    let line = HintLine(environment)
    line.aim(at: term.leader.desk?.endpoint)
    // Of a batch, which is found; and a standby's, which is answered.
    line.tell(written: try store.writer().submitBlocking(insert(1)).batch)
    #expect(line.ask([Hint(.standby)]))
    try term.beat()
    try term.beat()
    measured.expect(.hintsReceived, is: 2)
    measured.expect(.hintsUseful, is: 1)
    measured.expect(.hintsSent, is: 1)
    try term.stop()
  }

  /// Each kind of operation, once and again, and the same where it fails.
  func asking() throws {
    let directory = "\(store.path)/log"
    let files = try measured.by { MeteredFileSystem(PosixFileSystem()) }
    let path = "\(directory)/a.tmp"
    for mode in [UInt32(0o600), 0o644] {
      let made = try files.create(path, mode: mode)
      try made.resize(to: 8192)
      try made.write([UInt8](repeating: 1, count: 4096), at: 0)
      try made.sync()
      _ = try made.status()
      let opened = try files.open(path, .fixed)
      _ = try opened.read(4096, at: 0)
      _ = try files.list(directory)
      try files.link(path, to: "\(directory)/b.tmp")
      try files.setPermissions(path, mode: 0o640)
      for name in ["a", "b"] { try files.unlink("\(directory)/\(name).tmp") }
    }
    for (operation, count) in [
      "create": 2, "resize": 2, "write": 2, "sync": 2, "status": 2, "open": 2, "read": 2, "list": 2,
      "link": 2, "other": 2, "unlink": 4,
    ] {
      measured.expect(.fileOperations, "", "operation=\"\(operation)\"", is: Double(count))
    }
    measured.expect(.fileErrors, is: 0)
    for attempt in [
      { _ = try files.open(path, .fixed) }, { try files.unlink(path) },
      { _ = try files.status(path) }, { try files.link(path, to: "\(path)2") },
      { _ = try files.list(path) },
    ] {
      #expect(throws: StoreError.self) { try attempt() }
    }
    for operation in ["open", "unlink", "status", "link", "list"] {
      measured.expect(.fileErrors, "", "operation=\"\(operation)\"", is: 1)
    }
    measured.expect(.fileErrors, is: 5)
    measured.expect(.fileOperations, is: 29)
    try askingElsewhere(files, directory)
  }

  /// What the process that executes batches asks comes on top, once.
  private func askingElsewhere(_ files: MeteredFileSystem, _ directory: String) throws {
    let page = try Progress()
    let worker = try Progress(owning: dup(page.descriptor))
    let others = MeteredFileSystem(PosixFileSystem()) { worker.add($0, $1, $2) }
    for round in 1...2 {
      worker.begin(round)
      for _ in 0..<3 { _ = try others.list(directory) }
      #expect(throws: StoreError.self) { try others.unlink("\(directory)/none") }
      measured.expect(.fileOperations, is: Double(29 + 4 * (round - 1)))
      for _ in 0..<2 { page.takeCounts(files.add) }
      measured.expect(.fileOperations, is: Double(29 + 4 * round))
      measured.expect(.fileErrors, is: Double(5 + round))
      #expect(page.current.index == round)
    }
    measured.expect(.fileOperations, "", "operation=\"list\"", is: 9)
    measured.expect(.fileErrors, "", "operation=\"unlink\"", is: 3)
  }

  func electing() throws {
    let clock = ManualClock()
    let table = try measured.by { MeteredTable(Table(clock), store: "/s", clock: clock) }
    let item = LockItem(
      lockID: "a", holder: "me", term: 1, lease: .seconds(10), state: .active, expires_s: 1)
    let requests: [(String, LockRequest, Double)] = [
      ("read", .read, 1), ("put", .put(item, if: .any), 2), ("update", .update(item, if: .any), 3),
    ]
    for (operation, request, count) in requests {
      for _ in 0..<Int(count) { _ = try table.perform(request, atMost: .seconds(1)).get() }
      measured.expect(.lockRequests, "", "operation=\"\(operation)\"", is: count)
    }
    measured.expect(.lockSeconds, "_count", is: 6)
    measured.expect(.lockSeconds, "_sum", is: 1.5)
    measured.expect(.lockFailures, is: 0)
    // One that is not answered took no time that says anything.
    #expect(throws: LockFailure.self) {
      try table.perform(.read, atMost: .milliseconds(1)).get()
    }
    measured.expect(.lockFailures, is: 1)
    measured.expect(.lockRequests, "", "operation=\"read\"", is: 2)
    measured.expect(.lockRequests, "", "store=\"/s\"", is: 7)
    measured.expect(.lockSeconds, "_count", is: 6)
  }

  /// Answers in a quarter of a second, whatever is asked.
  private struct Table: LockTable {
    let clock: ManualClock
    init(_ clock: ManualClock) { self.clock = clock }
    func perform(_ request: LockRequest, atMost limit: Duration) -> Result<LockAnswer, LockFailure>
    {
      clock.sleep(min(limit, .milliseconds(250)))
      guard limit > .milliseconds(250) else {
        return .failure(LockFailure(isPassing: true, "too late"))
      }
      return .success(.written)
    }
  }
}
