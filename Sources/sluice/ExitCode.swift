import ArgumentParser
import CSQLite
import SluiceSQLite
import SluiceShared

/// The codes of `sysexits.h` that the command ends with; `success` (0) when all is done.
extension ExitCode {
  /// Arguments or an input that cannot be meant: change them.
  static let usage = ExitCode(64)
  /// The applier rejected a batch: nothing of it was done.
  static let batchRejected = ExitCode(65)
  /// No such store, file or snapshot.
  static let noSuchStore = ExitCode(66)
  /// No applier in time: what was submitted is durable and will be applied.
  static let noApplier = ExitCode(69)
  /// Files or the host failed. What was submitted may or may not be there.
  static let io = ExitCode(74)
  /// Nothing was done; the same again may work.
  static let tryAgain = ExitCode(75)
  /// Data that is damaged, another's or newer than this version.
  static let damaged = ExitCode(76)

  /// All of them, as the command's help and the README list them.
  static let meanings: [(code: ExitCode, meaning: String)] = [
    (.success, "done"), (.usage, "usage"), (.batchRejected, "a batch was rejected"),
    (.noSuchStore, "no such store or file"), (.noApplier, "no applier in time"),
    (.io, "input or output failed"), (.tryAgain, "try again"),
    (.damaged, "damaged or foreign data"),
  ]

  static var list: String {
    let items = meanings.map { "\($0.code.rawValue) \($0.meaning)" }
    return "Exit codes: \(items.joined(separator: ", "))."
  }

  init(_ code: StoreError.Code) {
    self =
      switch code {
      case .invalid, .limit: .usage
      case .noSuchStore, .snapshotExpired: .noSuchStore
      case .timeout: .noApplier
      case .backlogFull, .notSubmitted, .notLeading, .busy: .tryAgain
      case .damaged, .foreign, .unsupported: .damaged
      // With .outcomeUnknown too: doing the same again without a key could apply it twice.
      default: .io
      }
  }

  /// Of a query, whose SQL is the only thing that this program gives to SQLite itself.
  init(_ error: SQLiteError) {
    self =
      switch error.primary {
      case SQLITE_CORRUPT, SQLITE_NOTADB: .damaged
      case SQLITE_IOERR, SQLITE_CANTOPEN, SQLITE_FULL, SQLITE_NOMEM, SQLITE_INTERNAL: .io
      case SQLITE_BUSY, SQLITE_LOCKED: .tryAgain
      default: .usage
      }
  }
}
