import Glibc
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Synchronization
import Testing

@Suite("What a process leaves when it dies holds nobody up, and does not stay")
struct LeftoverTests {
  @Test("Temporary files are removed when nothing can come of them")
  func temporaries() throws {
    let store = try TestStore()
    let fileSystem = store.environment.fileSystem
    let newest = try store.present().segment.header.number
    func make(_ name: String, age_s: Int = 0, nonce: UInt64 = 6) throws -> String {
      let path = "\(store.path)/\(StoreLayout.temporaryName(name, nonce))"
      _ = try fileSystem.create(path, mode: 0o644)
      var times = [timespec(), timespec()]
      clock_gettime(CLOCK_REALTIME, &times[0])
      times[0].tv_sec -= age_s
      times[1] = times[0]
      try #require(utimensat(AT_FDCWD, path, times, 0) == 0)
      return path
    }
    let superseded = try [
      make("log/\(StoreLayout.logName(newest))"), make("log/\(StoreLayout.logName(newest + 1))"),
      make("checkpoints/\(StoreLayout.checkpointName(.zero))"),
      make("checkpoints/\(StoreLayout.sidecarName(.zero))"),
      make("current.sqlite", age_s: 120),
    ]
    // Somebody may be about to use these, or they are none of ours.
    let others = try [
      make("log/\(StoreLayout.logName(newest + 2))"),
      make("checkpoints/\(StoreLayout.checkpointName(TxID(1000)))"),
      make("current.sqlite", nonce: 7),
      make("log/notes"),
    ]
    // It takes the number after the newest.
    try store.drain()
    for path in superseded {
      #expect((try? fileSystem.status(path)) == nil, "\(path) stays")
    }
    for path in others { #expect((try? fileSystem.status(path)) != nil, "\(path) is gone") }
  }

  @Test("A claimant whose temporary file is removed stands back, and leads another time")
  func removedUnderClaimant() throws {
    let store = try TestStore()
    let isFirst = Atomic<Bool>(true)
    let environment = Environment.hooked { operation in
      // Just before it is given its number.
      if operation.action == .link, operation.path.hasSuffix(".log"),
        isFirst.exchange(false, ordering: .relaxed)
      {
        let log = StoreLayout(store.path).log
        let name = try? store.names(log).first { $0.hasSuffix(".tmp") }
        if let name { unlink("\(log)/\(name)") }
      }
      return .done
    }
    let writer = try store.writer()
    _ = try writer.submitBlocking(TestStore.row(1, 1))
    try store.drain(TestStore.options(), environment)
    let wasRemoved = !isFirst.load(ordering: .relaxed)
    #expect(wasRemoved)
    #expect(try store.rows(of: 1) == [1])
  }

  @Test("A holder that dies in the middle of a beacon is succeeded within its lease")
  func tornBeacon() async throws {
    try await onThread {
      let store = try TestStore()
      let leader = try store.startApplier("leader")
      try wait("it leads") { try store.present().beacon.state == .active }
      try leader.kill9()
      let present = try store.present()
      // The slot that is due next.
      let torn = present.beacon.counter % 2 == 0 ? Block.beacons.1 : Block.beacons.0
      let file = try store.environment.fileSystem.open(present.segment.file.path, .write)
      try file.write([UInt8](repeating: 0xA5, count: 512), at: torn)
      let began = SystemClock().elapsed()
      // Nor does it hold up who has something to write.
      let writer = try store.writer()
      _ = try writer.submitBlocking(TestStore.row(1, 1))
      try store.drain()
      // Half a second of lease; it was ten seconds when it read the log first.
      #expect(SystemClock().elapsed() - began < .seconds(8))
      #expect(try store.rows(of: 1) == [1])
      // It stays in the segment that is closed now, where nobody reads it.
      var remarks: [Verification.Damage] = []
      var damages: [Verification.Damage] = []
      _ = try Verification(
        store: store.path, store.environment, onRemark: { remarks.append($0) },
        onDamage: { damages.append($0) }
      ).run()
      #expect(remarks.map(\.path) == [present.segment.file.path] && remarks[0].offset == torn)
      #expect(damages == [])
    }
  }
}

@Suite("A write that meets its segment's retirement")
struct LateWriteTests {
  @Test("Landing just before the applier looks for remains, it is no damage")
  func noQuarantine() throws {
    let store = try TestStore()
    let writer = try store.writer()
    _ = try writer.submitBlocking(TestStore.row(1, 1))
    let isFirst = Atomic<Bool>(true)
    let environment = Environment.hooked { operation in
      // The search for remains begins with this; the frames were read again before it.
      if operation.action == .read, operation.path.hasSuffix(".seg"), operation.count == 1,
        isFirst.exchange(false, ordering: .relaxed)
      {
        _ = try? writer.submitBlocking(TestStore.row(1, 2))
      }
      return .done
    }
    var options = TestStore.options()
    options.retireAfter = .milliseconds(20)
    let applier = try ApplierThread(store, options, environment)
    // The second batch goes into a new segment, which is retired too.
    try wait("all is retired") {
      try store.journalSegments().isEmpty && store.rows(of: 1).count == 2
    }
    try applier.stop()
    #expect(try store.names(store.layout.quarantine).isEmpty)
    #expect(try store.rows(of: 1) == [1, 2])
  }
}

@Suite("A store that was made is there for good")
struct CreationTests {
  @Test("When init returns, every name on the way to the store's files is durable")
  func directories() throws {
    let store = try TestStore()
    let operations = Monitor<[FileOperation]>([])
    let path = try store.makeAnother(
      "another",
      .hooked { operation in
        operations.withLock { $0.append(operation) }
        return .done
      })
    let all = operations.withLock { $0 }
    func parent(_ path: String) -> String {
      String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)])
    }
    let layout = StoreLayout(path)
    for directory in [parent(path), path, layout.journal, layout.log, layout.checkpoints] {
      let changed = all.lastIndex {
        [.create, .link, .makeDirectory, .replaceSymbolicLink].contains($0.action)
          && parent($0.path) == directory
      }
      let synced = all.lastIndex { $0.action == .syncDirectory && $0.path == directory }
      #expect(try #require(synced) > #require(changed), "\(directory)")
    }
  }
}
