import Foundation
import Logging
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@testable import SluiceApplier

/// A directory of stores, removed with this object.
final class FleetDirectory {
  let path = NSTemporaryDirectory() + "sluice-fleet-\(UUID().uuidString)"
  let teardown = StoreTeardown(at: #_sourceLocation)

  init() throws {
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true)
  }

  deinit {
    for place in places { teardown.verifyStores(in: place) }
    teardown.verifyStores(in: path)
    try? FileManager.default.removeItem(atPath: path)
  }

  /// Directories in it with stores of their own.
  private var places: [String] = []

  @discardableResult
  func make(_ name: String, in place: String? = nil) throws -> String {
    let directory = place.map { "\(path)/\($0)" } ?? path
    if place != nil {
      try FileManager.default.createDirectory(
        atPath: directory, withIntermediateDirectories: true)
      places.append(directory)
    }
    let store = "\(directory)/\(name)"
    try StoreCreation().make(at: store, environment: .posix())
    return store
  }
}

/// A fleet on threads of its own, until it is stopped.
final class RunningFleet {
  let fleet: Fleet
  let files: CountingFileSystem
  private let stops = Monitor(false)
  private let errors = Monitor<[StoreError]?>(nil)

  init(
    _ stores: Fleet.Stores, holder: String = "one", on base: (any FileSystem)? = nil,
    clock: (any Clock)? = nil, _ change: (inout ApplierOptions) -> Void = { _ in }
  ) throws {
    var options = ApplierOptions(holder: holder)
    options.logger.logLevel = .critical
    options.leaseTime = .seconds(2)
    options.hints = .loopback
    change(&options)
    var environment = Environment.posix()
    files = CountingFileSystem(base ?? environment.fileSystem)
    environment.fileSystem = files
    if let clock { environment.clock = clock }
    fleet = try Fleet(stores, options: options, environment: environment)
    let (fleet, stops, errors) = (fleet, stops, errors)
    startThread {
      let found = fleet.run { stops.withLock { $0 } }
      errors.withLock { $0 = found }
      errors.wakeAll()
    }
  }

  @discardableResult
  func stop() -> [StoreError] {
    stops.withLock { $0 = true }
    return ended()
  }

  func ended() -> [StoreError] { errors.wait { $0 } }

  var leads: Int { fleet.state.withLock { $0.leads } }
  /// How many processes serve the same stores, as far as it knows.
  var processes: Int { fleet.state.withLock { $0.sharing.processes } }
}

/// Waits until it is so, or fails the test.
func eventually(
  _ what: String, within limit: Duration = .seconds(20), _ condition: () throws -> Bool
) rethrows {
  let end = SystemClock().elapsed() + limit * TestStore.patience
  while try !condition() {
    guard SystemClock().elapsed() < end else {
      Issue.record("not so in time: \(what)")
      return
    }
    SystemClock().sleep(.milliseconds(20))
  }
}

/// Submits a batch to `store`, and waits for its outcome.
func isApplied(_ sql: String, _ store: String) throws -> Bool {
  let writer = try Writer(store: store)
  defer { writer.closeBlocking() }
  let receipt = try writer.submitBlocking(Batch([Batch.Statement(sql)]))
  return try writer.outcomeBlocking(
    of: receipt, timeout: .seconds(30) * TestStore.patience
  ).outcome.isApplied
}
