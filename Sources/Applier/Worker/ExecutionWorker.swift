internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// What executes groups of batches for a term, from one snapshot on: this process, or a child that can
/// be killed. It keeps nothing that another one, made from the same snapshot, would not have.
protocol ExecutionWorker: AnyObject {
  /// What the database that it executes on says of itself.
  var extent: LogExtent { get }

  /// What the database knows of a writer: its last batch, and whose its files are.
  func known(_ writer: WriterID) throws(WorkerEnd) -> WriterState?

  /// Executes a group as `Session.commit` does. After `write` returned, the commit is confirmed, and
  /// this returns what was done whatever becomes of the worker.
  func commit(_ request: Session.Request, write: @escaping Session.Write) throws(WorkerEnd)
    -> Session.Done
}

/// A worker that is made before there is a term to work for. Until `opened` nothing of it is waited for.
protocol PreparedWorker: AnyObject {
  /// Told to read what was published meanwhile, so that it neither falls behind nor keeps old files.
  func follow() throws(WorkerEnd)

  /// Throws where it has ended; asks nobody but this host.
  func checkThere() throws(WorkerEnd)

  /// Told where the term begins.
  func begin(at txid: TxID) throws(WorkerEnd)

  /// It, with the database as of `txid`, or of what it was told before, or of a later batch.
  func opened(at txid: TxID, _ events: WorkerEvents) throws(WorkerEnd) -> any ExecutionWorker
}

/// Why a worker gave no answer. It is of no use afterwards.
enum WorkerEnd: Error {
  /// It ended by itself, or was ended from outside.
  case ended(Place, String)
  /// The batch at `index` used more of the processor than a batch may, and the worker was ended for it.
  case overran(index: Int, String)
  /// So it did by the clock, which may have been somebody else's fault.
  case waited(index: Int, String)
  /// The term is to stop, and did not wait for the end of the group.
  case stopped
  /// What a term ends with, or the applier.
  case failed(StoreError)

  /// The batch of `count` whose time it was: the one that was executed, or all there was of the commit.
  func culprit(among count: Int) -> Int? {
    let index: Int? =
      switch self {
      case .overran(let index, _), .waited(let index, _), .ended(.batch(let index), _): index
      case .ended(.commit, _): count == 1 ? 0 : nil
      case .ended(.nothing, _), .stopped, .failed: nil
      }
    return index.flatMap { $0 < count ? $0 : nil }
  }

  /// What it was at.
  enum Place {
    /// Nothing that a batch could be at fault for.
    case nothing
    /// The batch at this index of the request.
    case batch(Int)
    /// The commit of all that it had executed.
    case commit
  }
}

/// What a worker's supervisor wants to know and to do while it waits.
final class WorkerEvents {
  /// Called now and then while a group is executed, so that a long one keeps the lease.
  var onProgress: () -> Void = {}
  /// Whether what is being executed can come to nothing any more; it is ended then.
  var isInVain: () -> Bool = { false }
  /// Whether the term is to end; a group that takes long is not waited for then.
  var shouldStop: () -> Bool = { false }
}
