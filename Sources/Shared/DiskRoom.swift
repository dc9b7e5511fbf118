/// How large a file system is, and how much of it is left to who is not root.
public struct DiskRoom: Hashable, Sendable {
  public var freeBytes: Int64
  public var totalBytes: Int64

  public init(freeBytes: Int64, totalBytes: Int64) {
    self.freeBytes = freeBytes
    self.totalBytes = totalBytes
  }

  /// What may go of a store's past goes now, before somebody is refused.
  public var isScarce: Bool {
    freeBytes < min(Limits.scarceBytes, totalBytes / Limits.partsOfScarceDisk)
  }
}
