import SluiceFakes
import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceApplier

@Suite(
  "What is elected by is taken before the log is claimed, and given back when the claim is lost")
struct ClaimTests {
  private let lease = NotingLease()
  private let store: TestStore

  init() throws {
    store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
  }

  /// Notes a claim's operations in `log/` among what the lease is asked, then asks `fate`.
  private func noting(_ fate: @escaping FileHook = { _ in .done }) -> HookedFileSystem {
    let (lease, log) = (lease, "\(store.layout.log)/")
    return HookedFileSystem(store.environment.fileSystem) { operation in
      guard operation.path.hasPrefix(log) else { return .done }
      switch operation.action {
      case .create: lease.note(.made)
      case .link: lease.note(.numbered)
      default: break
      }
      return fate(operation)
    }
  }

  private func applier(on files: HookedFileSystem) throws -> Applier {
    var (options, environment) = (store.options, store.environment)
    options.drains = true
    environment.fileSystem = files
    return try Applier(
      path: store.path, options: options, lease: lease, environment: environment)
  }

  @Test("Nothing is made in the log before")
  func won() throws {
    try applier(on: noting()).run { false }
    #expect(
      lease.events.prefix(4) == [.acquired, .made, .numbered, .claimed], "\(lease.events)")
  }

  @Test("Where another was faster it is given back, and taken again for the next try")
  func lost() throws {
    let isFirst = Monitor(true)
    let failure = Monitor<String?>(nil)
    // By this thread alone, which stands still in the claim meanwhile.
    nonisolated(unsafe) let other = store
    let files = noting { operation in
      guard operation.action == .create, isFirst.withLock({ $0 }) else { return .done }
      isFirst.withLock { $0 = false }
      do { try other.apply("INSERT INTO t VALUES (1)") } catch {
        failure.withLock { $0 = "\(error)" }
      }
      return .done
    }
    try applier(on: files).run { false }
    #expect(failure.withLock { $0 } == nil)
    let expected: [NotingLease.Event] = [
      .acquired, .made, .numbered, .abandoned, .acquired, .made, .numbered, .claimed,
    ]
    #expect(lease.events.prefix(8) == expected[...], "\(lease.events)")
    #expect(try store.query("SELECT a FROM t") == [[1]])
  }

  @Test("Where the claim fails it is given back, too")
  func failed() throws {
    let applier = try applier(
      on: noting { operation in
        operation.action == .link ? .fails(StoreError(.io, "no", path: operation.path)) : .done
      })
    applier.beginStanding()
    #expect(throws: StoreError.self) { try applier.look() }
    #expect(lease.events == [.acquired, .made, .numbered, .abandoned])
  }
}
