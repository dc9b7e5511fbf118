import SluiceApplier
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@Suite("A schema that an earlier version let grow too large is told as that")
struct LargeSchemaTests {
  private func submit(_ store: TestStore, _ statements: [String]) throws {
    let writer = try store.writer()
    for sql in statements { _ = try writer.submitBlocking(Batch([Batch.Statement(sql)])) }
    writer.closeBlocking()
  }

  @Test func itIsNoDamage() async throws {
    try await onThread {
      let store = try TestStore()
      var environment = store.environment
      environment.omittedChecks = [.boundedSchema]
      let list = String(repeating: "1,", count: 500_000)
      let views = 0..<Self.viewCount
      try submit(store, views.map { "CREATE VIEW v\($0) AS SELECT 1 WHERE 1 IN (\(list)1)" })
      try store.drain(TestStore.options(), environment)
      try submit(store, ["INSERT INTO t(n) VALUES(1)"])
      let refused = try sluice("apply", store.path, "--drain")
      #expect(refused.code == 74)
      #expect(refused.errors.contains("most likely its schema is too large"), "\(refused)")
      #expect(!refused.errors.contains("damaged"), "\(refused)")
    }
  }

  /// So many that they do not fit into a child's memory.
  private static let viewCount = 9
}
