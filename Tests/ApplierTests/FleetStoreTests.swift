import SluiceJournal
import SluiceShared
import Testing

@testable import SluiceApplier
@testable import SluiceFakes

@Suite("A store of many that failed is tried again: soon, then ever later")
struct FleetStoreTests {
  /// Lists nothing while it fails.
  private final class Failing: HookedFileSystem, @unchecked Sendable {
    // Sendable: what changes is under a monitor.
    private let isFailing = Monitor(false)

    init() { super.init() }

    func set(_ failing: Bool) { isFailing.withLock { $0 = failing } }

    override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
      guard operation.action == .list, isFailing.withLock({ $0 }) else { return .done }
      return .fails(StoreError(.io, "listing failed", path: operation.path))
    }
  }

  @Test func pausesBecomeLonger() throws {
    let test = try TestStore()
    let (files, clock) = (Failing(), ManualClock(wall_ms: SystemClock().wallTime_ms()))
    var environment = test.environment
    (environment.fileSystem, environment.clock) = (files, clock)
    let options = test.options
    let fleet = QuietMembership()
    let store = FleetStore(test.path, fleet: fleet, environment: environment) { options }
    func step() throws -> Duration {
      let now = clock.elapsed()
      guard case .until(let due) = try store.step(mayExecute: { true }) else { return .zero }
      clock.advance(by: due - now)
      return due - now
    }
    func pauses() throws -> [Duration] {
      files.set(true)
      var pauses: [Duration] = []
      for _ in 0..<1000 where pauses.count < 7 {
        let pause = try step()
        if !store.leads { pauses.append(pause) }
      }
      files.set(false)
      return pauses
    }
    let expected = [0.5, 1, 2, 4, 8, 10, 10].map { Duration.seconds($0) }
    #expect(try pauses() == expected)
    for _ in 0..<2000 where !store.leads { _ = try step() }
    #expect(store.leads)
    // It led, so the next failure is a first one.
    #expect(try pauses() == expected)
  }
}
