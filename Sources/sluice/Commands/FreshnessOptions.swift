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

  @OptionGroup var past: PointOptions

  func validate() throws {
    let given = [latest, atLeast != nil, maxStaleness != nil, past.point != nil]
    guard given.count(where: { $0 }) <= 1 else {
      throw ValidationError(
        "--latest, --at-least, --max-staleness, --txid and --at exclude each other")
    }
  }

  var freshness: Freshness {
    if let atLeast { return .atLeast(TxID(atLeast), timeout: .seconds(30)) }
    if let maxStaleness { return .maxStaleness(.milliseconds(Int64(maxStaleness))) }
    if let point = past.point { return .asOf(point) }
    return .latest
  }
}

/// A point in the history.
struct PointOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "As it was after the last commit that holds no batch later than this.", valueName: "TXID"))
  var txid: UInt64?

  @Option(
    help: ArgumentHelp("As it was at this time (2026-11-22T10:00:00Z).", valueName: "TIME"),
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
    guard txid == nil || at == nil else {
      throw ValidationError("--txid and --at exclude each other")
    }
  }

  /// nil: the present.
  var point: HistoryPoint? { txid.map { .txid(TxID($0)) } ?? at.map { .time_ms($0.time_ms) } }

  /// Says on standard error where the batch that was asked for is not the last of its commit, so that
  /// what is seen is only as of `found`.
  func tell(_ found: TxID) {
    guard let txid, found.rawValue < txid else { return }
    Sluice.warn("as of batch \(found): batch \(txid) was committed together with later ones")
  }
}
