internal import SluiceShared

/// What an applier shares with those of other stores in its process.
///
/// A store at rest costs a few open files and a few kilobytes: it has no thread, no process that executes
/// batches, and none that stands by to do so.
struct OneOfMany: Sendable {
  let workers: WorkerPlaces
  /// For what takes long: checkpoints, and removing what is old. Beacons must not wait for those.
  let housekeeping: any Executor
  /// An answer to a request of the store's lease is there: called from any thread.
  var onAnswer: (@Sendable () -> Void)?
}

/// How many workers there are in a process: a bound for memory.
final class WorkerPlaces: Sendable {
  private let taken = Monitor(0)

  /// Given back when it is let go.
  final class Place {
    private let places: WorkerPlaces

    fileprivate init(_ places: WorkerPlaces) {
      self.places = places
      places.taken.withLock { $0 += 1 }
    }

    deinit { places.taken.withLock { $0 -= 1 } }
  }

  func take() -> Place { Place(self) }

  var count: Int { taken.withLock { $0 } }

  /// Whether who has executed a group is to give its worker up, in place of keeping it for the next batch.
  var areTooMany: Bool { count > Limits.executingOfMany + Limits.restingWorkersOfMany }
}
