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
/// error is that it could not be submitted, or that nobody knows what becomes of it.
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
        return PragmaAnswer(try submit(request, on: file)).text
      case "outcome":
        guard let key = pragma.argument else {
          throw StoreError(.invalid, "write PRAGMA sluice_outcome('KEY')")
        }
        let known = try recordedOutcome(ofKey: key, file.store.layout.root, file.calls)
        return PragmaAnswer(known.map { OutcomeReport(key: key, $0).json() } ?? "null").text
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
    let known = try outcome(of: request, try StoreQueue.shared(file).writer)
    if let known {
      file.written = max(file.written, known.txid)
      // As after a statement of the connection's own.
      if request.isAlone, case .applied(let applied) = known.outcome, applied.lastRowID != 0 {
        file.setLastInsertRowID(applied.lastRowID)
      }
    }
    return OutcomeReport(key: request.batch.key, known).json()
  }

  /// Submits a batch and waits as asked; nil: it is durable, and that is what is answered then.
  private func outcome(of request: SubmitRequest, _ writer: Writer) throws(StoreError)
    -> AppliedOutcome?
  {
    let receipt: Receipt
    do throws(StoreError) { receipt = try writer.submitBlocking(request.batch) } catch {
      // Where it has landed, its outcome says so.
      guard error.code == .outcomeUnknown, let batch = error.batch, let limit = request.timeout,
        let known = try? writer.outcomeBlocking(ofDoubtful: batch, timeout: limit)
      else { throw error }
      return known
    }
    guard let limit = request.timeout else { return nil }
    do throws(StoreError) { return try writer.outcomeBlocking(of: receipt, timeout: limit) } catch {
      switch error.code {
      case .timeout: return nil
      // It is lost for certain: the applier went on without it.
      case .damaged where writer.isSettled(receipt): throw error
      default: throw Self.unknown(error, receipt.batch)
      }
    }
  }

  /// Any other code would say that nothing was done.
  private static func unknown(_ cause: StoreError, _ batch: BatchID) -> StoreError {
    StoreError(
      .outcomeUnknown,
      "the batch is in the journal, and what becomes of it cannot be read: \(cause.message)",
      path: cause.path, offset: cause.offset, batch: batch, errno: cause.errno)
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
