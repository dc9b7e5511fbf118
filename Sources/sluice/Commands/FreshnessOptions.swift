import ArgumentParser
import SluiceReader
import SluiceShared

/// How fresh a snapshot has to be.
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

  func validate() throws {
    guard [latest, atLeast != nil, maxStaleness != nil].count(where: { $0 }) <= 1 else {
      throw ValidationError("--latest, --at-least and --max-staleness exclude each other")
    }
  }

  var freshness: Freshness {
    if let atLeast { return .atLeast(TxID(atLeast), timeout: .seconds(30)) }
    if let maxStaleness { return .maxStaleness(.milliseconds(Int64(maxStaleness))) }
    return .latest
  }
}
