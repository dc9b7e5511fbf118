internal import CSQLite
internal import CSystem
internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared
internal import SluiceTransactions
internal import SluiceVFS
internal import SluiceWriter

/// The PRAGMAs by which a connection to a store reaches its queue:
///
/// - `PRAGMA sluice_submit('{"statements": [["INSERT INTO t VALUES (?)", [1]]]}')` submits a batch, and answers
///   with what became of it (`SubmitRequest` has the members);
/// - `PRAGMA sluice_outcome('KEY')` answers with what is recorded of the first batch with a key, or with `null`.
///
/// An answer is one text, JSON as `sluice submit --json` prints it. A batch that was rejected is an answer; an
/// error is that it could not be submitted, or that nobody knows whether it was.
final class QueuePragmas: ReadVFSHost {
  func writable(_ file: SnapshotFile) -> (any VirtualFile)? {
    let writers = TransactionWriters.shared(file.store.layout.root)
    let isAssisted = file.isAssisted
    return TransactionFile(file, file.calls, .withoutThreads) { () throws(StoreError) in
      try writers.lend(isAssisted: isAssisted)
    }
  }

  func failed(_ error: StoreError) { csystem_keep_text(error.description) }

  func answer(_ pragma: StorePragma, on file: SnapshotFile) throws(PragmaFailure) -> String {
    do throws(StoreError) {
      guard file.isOfThisProcess else { throw SnapshotFile.inherited(file.store.layout.root) }
      switch pragma.name {
      case "submit":
        let request = try SubmitRequest(pragma.argument)
        return try submit(request, on: file)
      case "outcome":
        guard let key = pragma.argument else {
          throw StoreError(.invalid, "write PRAGMA sluice_outcome('KEY')")
        }
        let known = try recordedOutcome(ofKey: key, file.store.layout.root, file.calls)
        return known.map { OutcomeReport(key: key, $0).json() } ?? "null"
      default: break
      }
    } catch {
      file.note(error)
      throw PragmaFailure(Self.code(of: error), "\(error.code.rawValue): \(error)")
    }
    throw pragma.unknown(["submit", "outcome"])
  }

  private func submit(_ request: SubmitRequest, on file: SnapshotFile) throws(StoreError) -> String
  {
    guard !request.isAlone || !file.isPinned else {
      throw StoreError(
        .busy,
        "the connection has a transaction open, and a batch is no part of it; end the transaction, and finish its SELECT statements, before the batch is submitted",
        path: file.store.layout.root)
    }
    let queue = try StoreQueue.shared(file)
    let receipt = try queue.writer.submitBlocking(request.batch)
    var known: AppliedOutcome?
    if let limit = request.timeout {
      do throws(StoreError) {
        known = try queue.writer.outcomeBlocking(of: receipt, timeout: limit)
      } catch {
        // It is durable, and that is what is answered then.
        guard error.code == .timeout else { throw error }
      }
    }
    if let known { file.written = max(file.written, known.txid) }
    return OutcomeReport(key: request.batch.key, known).json()
  }

  /// The code that SQLite's caller gets. IOERR_FSYNC says that nobody knows: no other error does.
  private static func code(of error: StoreError) -> Int32 {
    switch error.code {
    case .outcomeUnknown: SQLITE_IOERR | 4 << 8
    case .damaged: SQLITE_IOERR | 32 << 8
    case .io, .notSubmitted: SQLITE_IOERR
    case .backlogFull, .busy, .timeout: SQLITE_BUSY
    case .limit: SQLITE_TOOBIG
    case .noSuchStore, .foreign, .unsupported: SQLITE_CANTOPEN
    default: SQLITE_ERROR
    }
  }
}
