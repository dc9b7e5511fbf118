import Foundation
import Glibc
import SluiceJournal
import SluiceShared
import Testing

@Suite("Worker processes alone elect each other by an item, too", .serialized)
struct ElectedAssistTests {
  let peers: Peers
  init() throws { peers = try Peers.shared.get() }

  @Test("50 short-lived workers: every batch once, few segments, at most one claim a second")
  func workers() async throws {
    try await onThread {
      let store = try ElectedStore(peers, .ministack)
      let proxy = try FaultProxy(peers, to: .ministack)
      let variables = peers.variables(.ministack, through: proxy.port)
      let workers = try (0..<50).map { n in
        try Process(
          Place.sluice,
          [
            "submit", store.path, "INSERT INTO t VALUES (?)", "\(n)", "--assist", "--timeout",
            "\(60 * patience)",
          ], variables)
      }
      for process in workers {
        try process.end(atMost: 90 * patience)
        #expect(process.code == 0, "\(process.errorsSoFar)")
        #expect(process.outputSoFar.hasPrefix("applied "), "\(process.outputSoFar)")
      }
      let query = try Process(
        Place.sluice, ["query", store.path, "SELECT count(*), count(DISTINCT a) FROM t", "--csv"])
      try query.end()
      #expect(query.outputSoFar.split(whereSeparator: \.isNewline).last == "50,50")

      let log = try store.log()
      let claims = try log.listed().sorted().dropFirst().compactMap { number -> Int64? in
        guard let segment = try log.open(number), try segment.control().beacon != nil else {
          return nil
        }
        return segment.header.created_ms
      }
      #expect((1..<50).contains(claims.count), "\(claims.count) segments for 50 batches")
      for (before, after) in zip(claims, claims.dropFirst()) {
        #expect(after - before >= 998, "claims \(after - before) ms apart")
      }
      #expect(try store.item()?["state"]?["S"]?.string == "released")
      // One that took the item may have lost the log.
      let term = try store.item()?["term"]?["N"]?.string.flatMap(Int.init) ?? 0
      #expect((claims.count...claims.count + 3).contains(term), "\(term) of \(claims.count)")
      // Who sees another lead asks DynamoDB nothing.
      let seen = try proxy.seen()
      let puts = seen.filter { $0.operation == "PutItem" }.count
      #expect(puts < claims.count + 50, "\(puts) tries to take the item")
    }
  }
}
