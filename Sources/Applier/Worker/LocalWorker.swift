internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// Executes in this process: for a program that embeds an applier and has no child to run, and for the
/// simulator. What SQL does to its process it does to the applier then.
final class LocalWorker: ExecutionWorker {
  private var session: Session
  private let settings: Session.Settings
  private let events: WorkerEvents
  private let environment: Environment

  init(
    _ snapshot: Snapshot, _ settings: Session.Settings, _ events: WorkerEvents,
    _ environment: Environment
  ) throws(StoreError) {
    self.settings = settings
    self.events = events
    self.environment = environment
    session = try Session(snapshot, settings, environment)
    watch()
  }

  var extent: LogExtent { session.extent }

  private func watch() {
    let events = events
    session.onProgress = { events.onProgress() }
    session.isInVain = { events.isInVain() }
  }

  func repeats(in batches: ArraySlice<PendingBatch>) throws(WorkerEnd) -> Int {
    do throws(StoreError) { return try session.repeats(in: batches.lazy.map(\.id)) } catch {
      throw .failed(error)
    }
  }

  func known(_ writer: WriterID) throws(WorkerEnd) -> WriterState? {
    do throws(StoreError) { return try session.known(writer) } catch { throw .failed(error) }
  }

  func commit(_ request: Session.Request, write: @escaping Session.Write) throws(WorkerEnd)
    -> Session.Done
  {
    do throws(StoreError) {
      if session.mustReopen {
        session = try Session(session.snapshot, settings, environment)
        watch()
      }
      return try session.commit(request, write: write)
    } catch {
      throw .failed(error)
    }
  }
}
