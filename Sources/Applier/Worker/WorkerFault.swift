package import SluiceShared

/// A moment in a worker's life at which a simulator may end it.
package enum WorkerMoment: Sendable {
  /// The batch is about to be executed.
  case batch(BatchID)
  /// All are executed; the commit is not handed on yet.
  case commit
  /// The commit is confirmed, and the worker was not told yet.
  case confirmed
}

package enum WorkerFault: Sendable {
  /// As by a signal.
  case ends
  /// The batch takes longer than a batch may.
  case overruns
}
