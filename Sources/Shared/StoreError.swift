internal import Glibc

/// What went wrong with a store: a code to act on, a sentence that says what and what to do, and
/// where.
public struct StoreError: Error, Sendable, CustomStringConvertible {
  public struct Code: RawRepresentable, Hashable, Sendable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// The device or the file system refused; `errno` says how.
    public static let io = Code(rawValue: "io")
    /// No store, or no such file, at the path.
    public static let noSuchStore = Code(rawValue: "noSuchStore")
    /// Something acknowledged cannot be read as it was written (promise 8).
    public static let damaged = Code(rawValue: "damaged")
    /// A file that belongs to another store, or is none of ours.
    public static let foreign = Code(rawValue: "foreign")
    /// Written by a newer version of Sluice.
    public static let unsupported = Code(rawValue: "unsupported")
    /// Over one of the limits in `Limits`.
    public static let limit = Code(rawValue: "limit")
    /// An argument or an input that cannot be meant.
    public static let invalid = Code(rawValue: "invalid")
    /// Too much of this writer's is not applied yet; try again.
    public static let backlogFull = Code(rawValue: "backlogFull")
    /// The batch is certainly not in the journal.
    public static let notSubmitted = Code(rawValue: "notSubmitted")
    /// The batch may or may not be in the journal; ask for its outcome.
    public static let outcomeUnknown = Code(rawValue: "outcomeUnknown")
    /// The snapshot's files were removed by retention.
    public static let snapshotExpired = Code(rawValue: "snapshotExpired")
    /// Others hold it; nothing was done, and the same may work later.
    public static let busy = Code(rawValue: "busy")
    /// What was waited for did not come in time.
    public static let timeout = Code(rawValue: "timeout")
    /// This process does not lead the store (any more).
    public static let notLeading = Code(rawValue: "notLeading")
    /// This host's clock and the file server's disagree.
    public static let wrongClock = Code(rawValue: "wrongClock")
  }

  public var code: Code
  /// One sentence: what is wrong and what to do.
  public var message: String
  public var path: String?
  /// Bytes from the start of the file at `path`.
  public var offset: Int64?
  public var batch: BatchID?
  public var errno: Int32?

  public init(
    _ code: Code, _ message: String, path: String? = nil, offset: Int64? = nil,
    batch: BatchID? = nil, errno: Int32? = nil
  ) {
    self.code = code
    self.message = message
    self.path = path
    self.offset = offset
    self.batch = batch
    self.errno = errno
  }

  public var description: String {
    var text = message
    if let batch { text += " [batch \(batch)]" }
    if let path { text += offset.map { " (\(path) at byte \($0))" } ?? " (\(path))" }
    return text
  }
}

extension StoreError {
  /// ENOSPC or EDQUOT.
  public var isFullDisk: Bool { errno == ENOSPC || isOverQuota }
  public var isOverQuota: Bool { errno == EDQUOT }
  /// EACCES or EPERM.
  public var isForbidden: Bool { errno == EACCES || errno == EPERM }
}
