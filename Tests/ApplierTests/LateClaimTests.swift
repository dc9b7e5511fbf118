import SluiceFakes
import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceApplier
@testable import SluiceReader

@Suite("A claimant that stands still while others lead, and retire what it saw, meets no damage")
struct LateClaimTests {
  /// Two terms in a segment each, and all before the last is retired.
  private func overtake(_ store: TestStore) throws {
    for i in 1...2 {
      try store.apply(i == 1 ? "CREATE TABLE t(a)" : "INSERT INTO t VALUES(\(i))")
    }
    let pages = try PageStore(path: store.path, environment: store.environment)
    try Checkpoint(of: pages.handle).make(of: pages.published(.latest))
    let retirement = LogRetirement(
      layout: store.layout, environment: store.environment, name: "test")
    _ = try retirement.retire(below: 3, beneath: 3)
    _ = try retirement.delete(movedBefore: .max)
  }

  /// It is overtaken before its `n`th operation. Returns how many it had.
  private func claim(_ n: Int) throws -> Int {
    let store = try TestStore()
    store.options.leaseTime = .milliseconds(50)
    let count = Monitor(0)
    let failure = Monitor<String?>(nil)
    // By this thread alone, which stands still in the claim meanwhile.
    nonisolated(unsafe) let others = store
    var late = store.environment
    late.fileSystem = HookedFileSystem(store.environment.fileSystem) { _ in
      let isNow = count.withLock { count in
        count += 1
        return count == n
      }
      if isNow {
        do { try overtake(others) } catch { failure.withLock { $0 = "\(error)" } }
      }
      return .done
    }
    let claim = LogClaim(
      of: StoreHandle(
        layout: store.layout, id: try StoreDescription.read(store.layout, PosixFileSystem()).id,
        environment: late), holder: "late", engine: Engine.current)
    do throws(StoreError) {
      _ = try claim.claim(
        successorOf: 1,
        firstBeacon: { holder, _ in holder.beacon(.released, ApplierStatus(), time_ms: 0) })
    } catch {
      #expect(error.code == .notLeading, "overtaken at operation \(n): \(error)")
    }
    #expect(failure.withLock { $0 } == nil, "overtaken at operation \(n)")
    if n > 0 { #expect(try store.query("SELECT a FROM t") == [[2]], "operation \(n)") }
    return count.withLock { $0 }
  }

  @Test func atEachOperation() throws {
    let operations = try claim(0)
    #expect(operations > 20)
    for n in 1...operations { _ = try claim(n) }
  }
}
