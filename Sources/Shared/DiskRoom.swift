/// How large a file system is, and how much of it is left to who is not root.
package struct DiskRoom: Hashable, Sendable {
  package var freeBytes: Int64
  package var totalBytes: Int64

  package init(freeBytes: Int64, totalBytes: Int64) {
    self.freeBytes = freeBytes
    self.totalBytes = totalBytes
  }

  /// What may go of a store's past goes now, before somebody is refused.
  package var isScarce: Bool {
    freeBytes < min(Limits.scarceBytes, totalBytes / Limits.partsOfScarceDisk)
  }
}
