import Glibc
import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@Suite("A device may fail at any write: a clear error, nothing lost, and then it goes on")
struct FailingDeviceTests {
  /// What every error must tell.
  private func expectClear(_ error: StoreError, _ code: Int32, _ store: TestStore, _ n: Int) {
    #expect(error.errno == code, "operation \(n): \(error)")
    #expect(error.path?.hasPrefix(store.path) == true, "operation \(n): \(error)")
    #expect(error.message.contains(String(cString: strerror(code))), "operation \(n): \(error)")
  }

  @Test("The applier's", arguments: [(ENOSPC, true), (EIO, false)])
  func applier(code: Int32, lasts: Bool) async throws {
    try await onThread {
      let store = try TestStore()
      var options = TestStore.options()
      options.leaseTime = .milliseconds(250)
      // Every commit is followed by a checkpoint, whose writes fail in their turn.
      options.checkpointAge = .zero
      let writer = try store.writer()
      var receipts: [Receipt] = []
      var n = 0
      while true {
        n += 1
        for _ in 0..<2 {
          let row = TestStore.row(0, receipts.count + 1)
          receipts.append(try writer.submitBlocking(row))
        }
        let device = FailingDevice(at: n, lasts: lasts, code)
        do throws(StoreError) {
          try store.drain(options, device.environment)
        } catch {
          expectClear(error, code, store, n)
        }
        guard device.hasFailed else { break }
        try #require(n < 500)
        // Whatever was half done hurts no reader, and the next applier goes on.
        let rows = try store.rows(of: 0)
        #expect(rows == Array(1...Int64(receipts.count)).prefix(rows.count).map { $0 })
        try store.drain(options)
        #expect(try store.rows(of: 0).count == receipts.count, "after operation \(n)")
      }
      #expect(n > 30)
      for receipt in receipts {
        let known = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60))
        #expect(known.outcome.isApplied)
      }
      #expect(try History(store).batches.count == receipts.count + 1)
      #expect(try store.rows(of: 0) == (1...Int64(receipts.count)).map { $0 })
      writer.closeBlocking()
      try store.drain()
      #expect(try store.leftovers() == [])
      #expect(try store.journalSegments() == [])
    }
  }

  @Test("The writer's", arguments: [(ENOSPC, true), (EIO, true), (EIO, false)])
  func writer(code: Int32, lasts: Bool) async throws {
    try await onThread {
      let store = try TestStore()
      // By the operation that failed, each with a writer of its own.
      var must: [Int: Set<Int64>] = [:]
      var may: [Int: Set<Int64>] = [:]
      var failures = 0
      var row = 0
      func submit(_ writer: Writer, _ count: Int, _ n: Int) {
        for _ in 0..<count {
          row += 1
          do throws(StoreError) {
            _ = try writer.submitBlocking(TestStore.row(n, row))
            must[n, default: []].insert(Int64(row))
          } catch {
            failures += 1
            expectClear(error, code, store, n)
            #expect(error.code == .notSubmitted || error.code == .outcomeUnknown, "\(error)")
            #expect((error.batch != nil) == (error.code == .outcomeUnknown), "\(error)")
            if error.code == .outcomeUnknown { may[n, default: []].insert(Int64(row)) }
          }
        }
      }
      for n in 1... {
        try #require(n < 100)
        let device = FailingDevice(at: n, lasts: lasts, code)
        let writer = try store.writer(device.environment)
        submit(writer, 4, n)
        let hasFailed = device.hasFailed
        device.repair()
        let before = failures
        submit(writer, 2, n)
        #expect(failures == before, "operation \(n)")
        writer.closeBlocking()
        if !hasFailed { break }
      }
      #expect(lasts ? failures > 0 : failures == 0)
      var options = TestStore.options()
      options.leaseTime = .seconds(10)
      options.retireAfter = .milliseconds(50)
      let applier = try ApplierThread(store, options)
      try wait("an empty journal") { try store.journalSegments().isEmpty }
      try applier.stop()
      for (n, must) in must {
        let rows = try store.rows(of: n)
        #expect(rows == rows.sorted() && Set(rows).count == rows.count, "operation \(n)")
        #expect(must.isSubset(of: rows), "operation \(n)")
        #expect(Set(rows).subtracting(must).isSubset(of: may[n] ?? []), "operation \(n)")
      }
      _ = try History(store)
    }
  }

  @Test("While a store is made", arguments: [ENOSPC, EIO])
  func initialisation(code: Int32) throws {
    let store = try TestStore()
    // Whoever fails to make a store fails to remove its parts, too.
    store.isDamagedOnPurpose = true
    for n in 1...200 {
      let name = "store\(n)"
      let device = FailingDevice(at: n, lasts: true, code)
      do throws(StoreError) {
        _ = try store.makeAnother(name, device.environment)
        #expect(!device.hasFailed && n > 10)
        return
      } catch {
        // Its own files, or at the end the directory that it is in.
        let path = error.path ?? ""
        let isNamed = path.contains(name) || store.path.hasPrefix("\(path)/")
        #expect(error.errno == code && isNamed, "\(n): \(error)")
      }
      // What is left is no store that anybody takes for one, or a whole one whose maker was not
      // told.
      do throws(StoreError) {
        #expect(try store.openAnother(name).snapshot(.latest).txid == .zero)
      } catch {
        #expect([.damaged, .noSuchStore].contains(error.code), "\(n): \(error)")
      }
    }
    Issue.record("never made")
  }
}
