import SluiceApplier
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

private typealias Code = Outcome.Rejection.Code

@Suite("What SQLite and the applier call a table is the same name")
struct ReadableTextTests {
  private let store: TestStore
  private let clock = ShiftedClock()

  init() throws {
    store = try TestStore()
    store.environment.fileSystem = DatingFileSystem(store.environment.fileSystem, clock)
    store.environment.clock = clock
    try store.apply("CREATE TABLE t(a)")
  }

  /// Applies each as a batch, with a byte that no UTF-8 has in place of each `~`.
  private func apply(_ texts: [String], isGuard: Bool = false) throws {
    let batches = try texts.map { sql in
      let statement = Batch.Statement(sql)
      let batch = isGuard ? Batch([], guards: [statement]) : Batch([statement])
      return try batch.encoded().map { $0 == UInt8(ascii: "~") ? 0xFF : $0 }
    }
    try store.journal().flush(batches)
    try store.drain()
  }

  private func insert(key: String) -> Batch {
    Batch([Batch.Statement("INSERT INTO t VALUES(1)")], key: key)
  }

  private func codes() throws -> [[SQLValue]] {
    try store.query("SELECT code FROM _sluice_rejected ORDER BY txid")
  }

  @Test func sqlThatIsNotUTF8IsRefused() throws {
    try apply([
      "CREATE TABLE \"b~\"(a)", "INSERT INTO t VALUES('~')", "-- ~", "INSERT INTO t VALUES('é')",
    ])
    try apply(["SELECT '~' = '~'"], isGuard: true)
    #expect(try codes() == Array(repeating: [.text(Code.malformed)], count: 4))
    #expect(try store.query("SELECT a FROM t") == [["é"]])
    let summary = try Replay.run(
      RecordedHistory(store: store.path, store.environment), into: "\(store.path)/again.sqlite")
    #expect(summary.batches == 6)
  }

  private static let binding = [
    "CREATE TABLE \"b~\"(a REFERENCES _sluice_keys(key))",
    "INSERT INTO \"b~\" SELECT key FROM _sluice_keys LIMIT 1",
  ]

  /// An earlier version let them through.
  @Test func whatWasAppliedIsAppliedAgain() throws {
    store.environment.omittedChecks = [.readableText]
    try store.apply([insert(key: "k")])
    try apply(Self.binding)
    store.environment.omittedChecks = []
    let summary = try Replay.run(
      RecordedHistory(store: store.path, store.environment), into: "\(store.path)/again.sqlite")
    #expect(summary.batches == 4)
  }

  /// A foreign key that an earlier version let in would keep the applier from forgetting keys, and each batch from
  /// being committed. Where it does, the term ends, and blames no batch without end.
  @Test(.timeLimit(.minutes(10)), arguments: [[], [SafetyCheck.unboundTables]])
  func noForeignKeyBindsTheApplier(_ omitted: [SafetyCheck]) throws {
    store.environment.omittedChecks = [.readableText]
    try store.apply([insert(key: "k")])
    try apply(Self.binding)
    #expect(try codes() == [])
    clock.advance(by: .seconds(25 * 3600))
    store.environment.omittedChecks = Set(omitted)
    guard omitted.isEmpty else {
      #expect(throws: StoreError.self) { try store.apply([insert(key: "l")]) }
      return
    }
    #expect(try store.apply([insert(key: "l")])[0].isApplied)
    #expect(try store.query("SELECT key FROM _sluice_keys") == [["l"]])
    #expect(try codes() == [])
  }

  /// Names are compared as SQLite compares them: it knows no capital letters but A to Z.
  @Test func aShadowTableIsFoundByItsName() throws {
    #expect(try store.apply("CREATE VIRTUAL TABLE \"É\" USING fts5(x)").isApplied)
    let trigger =
      "CREATE TRIGGER r AFTER INSERT ON \"É_content\" BEGIN INSERT INTO t VALUES(1); END"
    #expect(try store.apply(trigger).rejectionCode == Code.denied)
  }
}
