internal import SluiceJournal
internal import SluiceShared

/// How much of the past an applier keeps.
public struct RetentionSettings: Hashable, Sendable {
  /// Any state of this last time can be read, and all batches of it; nil: for ever.
  public var keep: Duration? = .seconds(7 * 24 * 3600)
  /// Where log and checkpoints take more bytes than this, the oldest go earlier; nil: however many.
  public var bytes: Int64?
  /// Checkpoints at most, spread over what is kept; the newest two stay, and the one that it begins with.
  public var checkpoints = 8
  /// What is superseded stays for so long after that, for readers that are behind.
  public var readers: Duration = .seconds(3600)
  /// How often it is looked at, beside after each checkpoint.
  public var pause: Duration = .seconds(60)
  /// At rest, where nothing is committed and nothing was to be removed, pauses double, up to this and an eighth of
  /// `keep`.
  public var restingPause: Duration = .seconds(600)
  /// The segment before the newest with a beacon stays for so long: longer than a listing of `log/` takes.
  public var listing: Duration = .seconds(60)

  /// Somebody said so. Else what the term before stated holds.
  public var isGiven = true
  /// Nothing of the past is removed.
  private(set) var removesNothing = false

  public static let leastCheckpoints = 2

  public init() {}

  /// What a term goes by, after one whose last beacon stated `stated`.
  ///
  /// Somebody who starts an applier without saying what is kept, by hand or on another host, removes nothing
  /// that the others keep. And where no term has said anything, since they were of a version that removed
  /// nothing, nothing is removed until the next term: what will be is stated, and logged, before.
  func adopted(after stated: StatedRetention?) -> RetentionSettings {
    guard !isGiven else { return self }
    var adopted = self
    guard let stated, stated.checkpoints > 0 else {
      adopted.removesNothing = true
      return adopted
    }
    adopted.keep =
      stated.keep_ms == 0 ? nil : .milliseconds(Int64(clamping: stated.keep_ms))
    adopted.bytes = stated.bytes == 0 ? nil : Int64(clamping: stated.bytes)
    adopted.checkpoints = max(
      RetentionSettings.leastCheckpoints, Int(clamping: stated.checkpoints))
    return adopted
  }

  var longestPause: Duration { max(pause, min(restingPause, keep.map { $0 / 8 } ?? restingPause)) }

  /// As beacons say it, for `status`.
  var stated: StatedRetention {
    StatedRetention(
      keep_ms: keep.map { UInt64(max(1, $0.wholeMilliseconds)) } ?? 0,
      bytes: UInt64(max(0, bytes ?? 0)), checkpoints: UInt32(clamping: checkpoints))
  }
}
