import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@testable import SluiceApplier
@testable import SluiceFakes

/// All that waits in memory waits for the holder's COMMIT, so that does not wait for theirs.
@Suite("Who has the turn is read before all others")
struct TurnHolderIntakeTests {
  let store: TestStore

  init() throws {
    store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
  }

  /// Lets time pass with each read of a segment.
  private final class SlowSegments: HookedFileSystem, @unchecked Sendable {
    // Sendable: what it has is constant.
    private let clock: ManualClock

    init(_ base: any FileSystem, _ clock: ManualClock) {
      self.clock = clock
      super.init(base)
    }

    override func did(_ operation: FileOperation) {
      guard operation.action == .read, operation.path.hasSuffix(".seg") else { return }
      clock.advance(by: .milliseconds(10))
    }
  }

  /// By whom it was submitted.
  private func submit(_ batch: Batch) throws -> WriterID {
    try store.writer().submitBlocking(batch).batch.writer
  }

  private func intake(_ clock: ManualClock) throws -> JournalIntake {
    var environment = store.environment
    environment.clock = clock
    environment.fileSystem = SlowSegments(store.environment.fileSystem, clock)
    return try JournalIntake(
      of: StoreHandle(at: store.layout, environment), name: "test", openFiles: 1000,
      log: store.options.logger)
  }

  @Test("Of more files than a look has time for, its own is read in the first look")
  func many() throws {
    let batch = Batch([Batch.Statement("SELECT 1")])
    for _ in 0..<40 { _ = try submit(batch) }
    let holder = try submit(batch)
    let intake = try intake(ManualClock())
    intake.turnHolder = holder
    _ = try intake.poll()
    #expect(intake.waiting.has(holder))
    #expect(intake.waiting.count < 41)
  }

  /// Of these one is read in each look.
  @Test("Of large frames its own is read first")
  func large() throws {
    // What does not compress.
    var bytes = [UInt8](repeating: 0, count: Int(LookBudget.mostBytes) + 1 << 20)
    bytes.withUnsafeMutableBytes { bytes in
      for place in stride(from: 0, to: bytes.count, by: 8) {
        bytes.storeBytes(of: UInt64.random(in: 0 ... .max), toByteOffset: place, as: UInt64.self)
      }
    }
    let batch = Batch([Batch.Statement("SELECT ?", [.blob(bytes)])])
    let other = try submit(batch)
    let holder = try submit(batch)
    let intake = try intake(ManualClock())
    intake.turnHolder = holder
    _ = try intake.poll()
    #expect(intake.waiting.has(holder) && !intake.waiting.has(other))
    _ = try intake.poll()
    #expect(intake.waiting.has(other))
  }
}
