import ArgumentParser
import SluiceJournal
import SluiceReader
import SluiceShared

/// How fresh a snapshot has to be, or of when.
struct FreshnessOptions: ParsableArguments {
  @Flag(help: "See everything that anybody saw before now: the default.")
  var latest = false

  @Option(
    help: ArgumentHelp(
      "See at least the batch with this TxID; waits for it up to 30 seconds.", valueName: "TXID"))
  var atLeast: UInt64?

  @Option(
    help: ArgumentHelp("Be content with a snapshot that is this old, in ms.", valueName: "MS"))
  var maxStaleness: UInt32?

  @Option(
    help: ArgumentHelp(
      "See the database as it was after the last commit that holds no later batch.",
      valueName: "TXID"))
  var txid: UInt64?

  @Option(
    help: ArgumentHelp(
      "See the database as it was at this time (2026-11-22T10:00:00Z).", valueName: "TIME"),
    transform: Moment.init)
  var at: Moment?

  /// A time as RFC 3339 writes it.
  struct Moment {
    let time_ms: Int64

    init(_ text: String) throws {
      guard let time_ms = milliseconds(ofTimestamp: text) else {
        throw ValidationError("write it as 2026-11-22T10:00:00Z or 2026-11-22T11:00:00+01:00")
      }
      self.time_ms = time_ms
    }
  }

  func validate() throws {
    let given = [latest, atLeast != nil, maxStaleness != nil, txid != nil, at != nil]
    guard given.count(where: { $0 }) <= 1 else {
      throw ValidationError(
        "--latest, --at-least, --max-staleness, --txid and --at exclude each other")
    }
  }

  var freshness: Freshness {
    if let atLeast { return .atLeast(TxID(atLeast), timeout: .seconds(30)) }
    if let maxStaleness { return .maxStaleness(.milliseconds(Int64(maxStaleness))) }
    if let txid { return .asOf(.txid(TxID(txid))) }
    if let at { return .asOf(.time_ms(at.time_ms)) }
    return .latest
  }

  /// Says on standard error where the state that was asked for lies within a commit.
  func tell(_ transaction: ReadTransaction) {
    guard let txid, transaction.txid.rawValue < txid else { return }
    Sluice.warn(
      "as of batch \(transaction.txid): batch \(txid) was committed together with later ones")
  }
}
