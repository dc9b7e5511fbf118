import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceApplier

/// A store that two processes serve among many others, both in one thread and in no time.
enum IdleFleet {
  /// What both ask, when one has led for an hour.
  static func rates(lease: Duration, over time: Duration) throws -> IdleRates {
    let store = try TestStore()
    let clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
    let files = (0..<2).map { _ in CountingFileSystem(store.environment.fileSystem) }
    let membership = QuietMembership()
    let stores = files.map { files in
      var (options, environment) = (store.options, store.environment)
      options.leaseTime = lease
      options.beat = max(options.beat, lease / 5)
      options.retention = RetentionSettings()
      options.many = OneOfMany(workers: WorkerPlaces(), housekeeping: InlineExecutor())
      environment.fileSystem = files
      environment.clock = clock
      environment.executor = InlineExecutor()
      return FleetStore(store.path, fleet: membership, environment: environment) { options }
    }
    var due = [Duration.zero, .zero]
    func run(_ time: Duration) throws {
      let end = clock.elapsed() + time
      while let next = due.min(), next < end {
        clock.sleep(max(.zero, next - clock.elapsed()) + .nanoseconds(1))
        let turn = due[0] <= due[1] ? 0 : 1
        switch try stores[turn].step(mayExecute: { true }) {
        case .until(let time): due[turn] = max(time, clock.elapsed() + .milliseconds(1))
        case .slot, .ended: throw StoreError(.notLeading, "it does not rest")
        }
      }
      clock.sleep(end - clock.elapsed())
    }
    try run(.seconds(3600))
    guard stores.count(where: \.leads) == 1 else {
      throw StoreError(.notLeading, "\(stores.map(\.leads)) lead")
    }
    for files in files { files.reset() }
    try run(time)
    return IdleRates(files, nil, over: time)
  }
}
