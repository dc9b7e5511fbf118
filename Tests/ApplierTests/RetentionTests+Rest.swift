import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceApplier
@testable import SluiceFakes

/// How often a term looks after what is old.
extension RetentionTests {
  @Test("Looks at what is old are further apart the longer nothing is committed, up to ten minutes")
  func rests() throws {
    let term = try RestingTerm(try worked(2))
    #expect(try term.pauses(6) == [60, 120, 240, 480, 600, 600])
    try term.store.apply("INSERT INTO t VALUES('news')")
    #expect(try term.pauses(2) == [60, 120])
  }

  @Test("And up to an eighth of what is kept")
  func restsForAnEighth() throws {
    let term = try RestingTerm(try worked(2), keep: .seconds(1600))
    #expect(try term.pauses(4) == [60, 120, 200, 200])
    let hasty = try RestingTerm(try worked(2), keep: .seconds(60))
    #expect(try hasty.pauses(2) == [60, 60])
    let forever = try RestingTerm(try worked(2), keep: nil)
    #expect(try forever.pauses(5) == [60, 120, 240, 480, 600])
  }

  @Test("What could not be removed, or was, is looked at again in a minute")
  func looksAgain() throws {
    let term = try RestingTerm(try worked(2))
    #expect(try term.pauses(3) == [60, 120, 240])
    term.files.failures = 1
    #expect(try term.pauses(3) == [480, 60, 120])

    let removing = try RestingTerm(try worked(), keep: .seconds(8000))
    removing.ages_ms = 9_000_000
    // Segments are moved by the first look, and deleted by the second.
    let pauses = try removing.pauses(4)
    #expect(pauses == [60, 60, 60, 120], "\(pauses)")
  }

  @Test("At rest a term looks each minute whether room is left, and then after what may go")
  func looksForRoomAtRest() throws {
    let term = try RestingTerm(try worked(2))
    #expect(try term.pauses(5) == [60, 120, 240, 480, 600])
    term.looksForRoom = true
    #expect(try term.pauses(1) == [600])
    term.files.room = DiskRoom(freeBytes: 0, totalBytes: 1 << 40)
    let next = try term.pauses(1)
    #expect(next[0] <= 60, "\(next)")
  }
}

/// A term in which nothing is committed, and in which somebody asks each ten seconds whether it is time.
private final class RestingTerm {
  final class Files: HookedFileSystem, @unchecked Sendable {
    // Sendable: used by one thread at a time.
    var room: DiskRoom?
    /// So many listings of the checkpoints fail.
    var failures = 0

    override func room(in directory: String) -> DiskRoom? { room }

    override func fate(of operation: FileOperation) -> FileFate {
      guard failures > 0, operation.action == .list, operation.path.hasSuffix("checkpoints") else {
        return .done
      }
      failures -= 1
      return .fails(StoreError(.io, "the device fails"))
    }
  }

  let store: TestStore
  let files: Files
  var looksForRoom = false
  /// By how much the file server's time is later than it is.
  var ages_ms: Int64 = 0
  private let clock = ManualClock()
  private let retirer: Retirer

  init(_ store: TestStore, keep: Duration? = .seconds(7 * 24 * 3600)) throws {
    self.store = store
    files = Files(store.environment.fileSystem)
    var environment = store.environment
    environment.clock = clock
    environment.fileSystem = files
    var options = store.options
    options.retention = RetentionSettings()
    options.retention.keep = keep
    let handle = try StoreHandle(at: store.layout, environment)
    retirer = Retirer(
      Retention(Checkpoint(of: handle), options, environment), options.retention,
      startsAtOnce: false, environment)
  }

  /// Seconds between that many looks.
  func pauses(_ count: Int) throws -> [Int] { try (0..<count).map { _ in try secondsToNext() } }

  private func secondsToNext() throws -> Int {
    let present = try Log(of: try store.handle).present()
    let published = PublishedTxID(present)
    var seconds = 0
    while !retirer.isDue(published) {
      clock.advance(by: .seconds(10))
      seconds += 10
      if looksForRoom { retirer.lookForRoom(isTold: false, lastWork: .zero) }
    }
    let now_ms = store.environment.clock.wallTime_ms() + ages_ms
    retirer.start(
      Retention.Occasion(
        now_ms: 0, published: published, segment: present.segment.number, isSettled: true)
    ) { _ in now_ms }
    retirer.wait()
    _ = retirer.finished()
    return seconds
  }
}
