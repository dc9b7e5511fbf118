import Glibc
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@testable import SluiceApplier
@testable import SluiceFakes

@Suite("A backup that is cut off, or has no room, leaves what there was, and the next one is whole")
struct BackupFaultTests {
  /// Ends its process before the n-th operation that changes something in the copies: nothing is done from
  /// then on, and of a write half.
  private final class Death: Sendable {
    private let left: Monitor<Int>
    private let place: String
    private let code: Int32

    init(_ place: String, before operations: Int, code: Int32 = EIO) {
      left = Monitor(operations)
      self.place = place
      self.code = code
    }

    var hasCome: Bool { left.withLock { $0 < 0 } }

    func fate(_ operation: FileOperation) -> FileFate {
      guard operation.path.hasPrefix(place),
        [
          .create, .link, .unlink, .makeDirectory, .syncDirectory, .replaceSymbolicLink, .write,
          .sync,
        ].contains(operation.action)
      else { return .done }
      let number = left.withLock { left in
        left -= 1
        return left
      }
      guard number < 0 else { return .done }
      let error = StoreError(.io, "the end", path: operation.path, errno: code)
      return number == -1 ? .failsTorn(pieceBytes: 4096, error) : .fails(error)
    }
  }

  private func dying(_ store: BackedUpStore, before operations: Int) -> (Environment, Death) {
    let death = Death(store.place, before: operations)
    var environment = store.environment
    environment.fileSystem = HookedFileSystem(PosixFileSystem()) { death.fate($0) }
    return (environment, death)
  }

  /// No store yet, or a whole one up to one of `ends`.
  private func expectNothingHalf(_ store: BackedUpStore, _ ends: Set<UInt64>, _ when: String) throws
  {
    let names = (try? store.names(store.copy)) ?? []
    guard names.contains("store.json") else {
      #expect(ends.contains(0), "\(when): the copy is gone")
      return
    }
    var damages: [Verification.Damage] = []
    let summary = try Verification(store: store.copy, .posix()) { damages.append($0) }.run()
    #expect(
      damages == [] && ends.contains(summary.last.rawValue), "\(when): \(summary), \(damages)")
  }

  @Test("The first one, before each operation")
  func first() throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    var operations = 0
    while true {
      let (environment, death) = dying(store, before: operations)
      let failure = store.failure(environment)
      try expectNothingHalf(store, [0, 3], "before operation \(operations)")
      guard death.hasCome else {
        #expect(failure == nil)
        break
      }
      // Whatever was left is gone on from, or cleared away.
      if operations % 5 == 0 {
        try store.backUp()
        try store.expectWhole(upTo: 3)
        removeTree(store.copy)
      }
      operations += 1
    }
    #expect(operations > 30, "there were \(operations)")
    try store.expectWhole(upTo: 3)
    for directory in ["", "/log", "/checkpoints"] {
      #expect(try store.names(store.copy + directory).allSatisfy { !$0.hasSuffix(".tmp") })
    }
  }

  @Test("One that adds to a copy, before each operation")
  func added() throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    try store.backUp()
    let before = "\(store.place)/before"
    try copyTree(store.copy, to: before)
    try store.applying { writer in
      for n in 3...4 {
        _ = try writer.outcomeBlocking(
          of: writer.submitBlocking(BackedUpStore.row(n)), timeout: .seconds(60))
      }
    }
    try store.makeCheckpoint()
    try store.work(5...5)
    var operations = 0
    while true {
      removeTree(store.copy)
      try copyTree(before, to: store.copy)
      let (environment, death) = dying(store, before: operations)
      let failure = store.failure(environment)
      try expectNothingHalf(store, [3, 5, 6], "before operation \(operations)")
      guard death.hasCome else {
        #expect(failure == nil)
        break
      }
      try store.backUp()
      try store.expectWhole(upTo: 6)
      operations += 1
    }
    #expect(operations > 20, "there were \(operations)")
  }

  @Test("Where store.json does not come last, a half copy is taken for a store")
  func describedLast() throws {
    let store = try BackedUpStore()
    store.teardown.isDamagedOnPurpose = true
    try store.work(1...2)
    store.environment.omittedChecks = [.describedLast]
    var looksWhole = false
    for operations in 0..<30 where !looksWhole {
      removeTree(store.copy)
      let (environment, _) = dying(store, before: operations)
      _ = store.failure(environment)
      guard (try? store.names(store.copy))?.contains("store.json") == true else { continue }
      var damages = 0
      _ = try? Verification(store: store.copy, .posix()) { _ in damages += 1 }.run()
      looksWhole = damages > 0
    }
    #expect(looksWhole)
  }

  @Test("A full disk is told, and leaves the copy as it was")
  func fullDisk() throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    try store.backUp()
    try store.work(3...3)
    let full = Death(store.place, before: 1, code: ENOSPC)
    var environment = store.environment
    environment.fileSystem = HookedFileSystem(PosixFileSystem()) { operation in
      operation.action == .write ? full.fate(operation) : .done
    }
    let error = #expect(throws: StoreError.self) { try store.backUp(environment) }
    #expect(error?.isFullDisk == true)
    try store.expectWhole(upTo: 3)
    #expect(try store.names("\(store.copy)/log").allSatisfy { !$0.hasSuffix(".tmp") })
    try store.backUp()
    try store.expectWhole(upTo: 4)
  }

  @Test("Damage is not copied", arguments: [nil, SafetyCheck.provenCopy])
  func damage(without check: SafetyCheck?) throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    try store.backUp()
    try store.work(3...3)
    // A byte of the pages of batch 4's commit.
    let log = Log(of: try StoreHandle(at: store.store.layout, store.environment))
    let present = try log.present()
    var cursor = LogCursor(
      present.segment, to: present.beacon.position.end, environment: store.environment)
    var place: Int64 = 0
    while let frame = try cursor.next() {
      if frame.kind == .commit, let pages = frame.section(.pages) {
        place = frame.offset + pages.offset
      }
    }
    try #require(place > 0)
    store.store.isDamagedOnPurpose = true
    store.teardown.isDamagedOnPurpose = check != nil
    let file = try PosixFileSystem().open(present.segment.file.path, .write)
    try file.write([file.read(1, at: place)[0] ^ 1], at: place)
    if let check { store.environment.omittedChecks = [check] }
    #expect(store.failure() == (check == nil ? .damaged : nil))
    var damages = 0
    let summary = try Verification(store: store.copy, .posix()) { _ in damages += 1 }.run()
    #expect(damages == (check == nil ? 0 : 1) && summary.last == TxID(check == nil ? 3 : 4))
  }

  @Test("Page checksums that the copy's file system keeps otherwise are no copy")
  func sidecar() throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    // The disk changes what was written.
    var environment = store.environment
    let changing = ChangingFileSystem(suffix: ".pages")
    environment.fileSystem = changing
    #expect(store.failure(environment) == .damaged)
    #expect(changing.changed.withLock { $0 } > 0)
    #expect(try !store.names(store.copy).contains("store.json"))
    environment.omittedChecks = [.provenCopy]
    store.teardown.isDamagedOnPurpose = true
    #expect(store.failure(environment) == nil)
  }

  /// A byte of what is written to files of a name, before its random part, comes out as another one.
  private final class ChangingFileSystem: HookedFileSystem, @unchecked Sendable {
    // Sendable: as the class that it is made of, and a lock.
    let changed = Monitor(0)
    private let suffix: String

    init(suffix: String) {
      self.suffix = suffix
      super.init(PosixFileSystem())
    }

    override func did(_ operation: FileOperation) {
      guard operation.action == .sync,
        StoreLayout.temporaryTarget(operation.path)?.hasSuffix(suffix) == true
      else { return }
      changed.withLock { $0 += 1 }
      chmod(operation.path, 0o644)
      let descriptor = Glibc.open(operation.path, O_RDWR)
      defer { close(descriptor) }
      var byte: UInt8 = 0
      pread(descriptor, &byte, 1, 4100)
      byte ^= 1
      pwrite(descriptor, &byte, 1, 4100)
    }
  }

  @Test(
    "What an earlier process left unsynced is durable when a copy is told",
    arguments: [nil, SafetyCheck.settledCopy])
  func settled(without check: SafetyCheck?) throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    try store.backUp()
    let synced = Monitor<Set<String>>([])
    var environment = store.environment
    environment.fileSystem = HookedFileSystem(PosixFileSystem()) { operation in
      if [.sync, .syncDirectory].contains(operation.action) {
        synced.withLock { _ = $0.insert(operation.path) }
      }
      return .done
    }
    if let check { environment.omittedChecks = [check] }
    // Nothing is new, and all that there is could be of a process that was killed.
    try store.backUp(environment)
    let newest = try #require(
      store.names("\(store.copy)/log").compactMap(StoreLayout.logNumber).max())
    let wanted: Set = [
      "\(store.copy)/log/\(StoreLayout.logName(newest))", "\(store.copy)/log",
      "\(store.copy)/checkpoints", store.copy, store.place,
    ]
    #expect(synced.withLock { wanted.isSubset(of: $0) } == (check == nil))
  }

  // MARK: retention

  /// What is older than the newest two checkpoints goes at once.
  private func retire(_ store: BackedUpStore) throws {
    let handle = try StoreHandle(at: store.store.layout, .posix())
    let checkpoint = Checkpoint(of: handle)
    let present = try Log(of: handle).present()
    var options = store.store.options
    options.retention.keep = .milliseconds(1)
    options.retention.checkpoints = 2
    options.retention.readers = .zero
    options.retention.listing = .zero
    _ = try Retention(checkpoint, options, .posix()).run(
      Retention.Occasion(
        now_ms: store.environment.clock.wallTime_ms() + 30_000, published: present.published,
        segment: present.segment.number, isSettled: true))
  }

  @Test("What is removed while it is copied is begun anew with")
  func overtaken() throws {
    // Used by this one thread, in the hook too.
    nonisolated(unsafe) let store = try BackedUpStore()
    try store.work(1...2)
    let overtakes = Monitor(true)
    var environment = store.environment
    // On another host an open file that was removed cannot be read.
    environment.fileSystem = HookedFileSystem(StaleFileSystem()) { operation in
      guard operation.action == .link, operation.path.hasPrefix(store.place),
        operation.path.hasSuffix(".pages"),
        overtakes.withLock({
          let was = $0; $0 = false; return was
        })
      else { return .done }
      // Later states, of which the newest two stay.
      #expect(throws: Never.self) {
        for n in 3...5 {
          try store.work(n...n)
          try store.makeCheckpoint()
        }
        try retire(store)
      }
      return .done
    }
    let summary = try store.backUp(environment)
    #expect(!overtakes.withLock { $0 })
    #expect(summary.txid == TxID(6) && summary.isFirst)
    try store.expectWhole(upTo: 6)
    #expect(try store.names("\(store.copy)/checkpoints").allSatisfy { !$0.contains("000.") })
  }

  @Test("A copy whose continuation is gone stays, and says so")
  func gap() throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    try store.backUp()
    for n in 3...6 {
      try store.work(n...n)
      try store.makeCheckpoint()
    }
    try retire(store)
    let error = #expect(throws: StoreError.self) { try store.backUp() }
    #expect(error?.code == .snapshotExpired)
    #expect(error?.message.contains("ends with batch 3") == true, "\(String(describing: error))")
    try store.expectWhole(upTo: 3)
  }

  @Test("Segments that lie in log/old are copied too")
  func retired() throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    try store.backUp()
    try store.work(3...4)
    let layout = store.store.layout
    let newest = try #require(store.names(layout.log).compactMap(StoreLayout.logNumber).max())
    _ = try LogRetirement(layout: layout, environment: .posix(), name: "test")
      .retire(below: newest, beneath: newest)
    #expect(try store.names(layout.oldLog).count > 2)
    try store.backUp()
    try store.expectWhole(upTo: 5)
  }
}
