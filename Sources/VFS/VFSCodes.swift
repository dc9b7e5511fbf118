internal import CSQLite

/// Extended result codes that a file system answers with; C expressions, which Swift does not import.
extension VFSFailure {
  package static let read = VFSFailure(SQLITE_IOERR | 1 << 8)
  package static let shortRead = VFSFailure(SQLITE_IOERR | 2 << 8)
  package static let write = VFSFailure(SQLITE_IOERR | 3 << 8)
  package static let sync = VFSFailure(SQLITE_IOERR | 4 << 8)
  package static let truncate = VFSFailure(SQLITE_IOERR | 6 << 8)
  package static let lock = VFSFailure(SQLITE_IOERR | 15 << 8)
  package static let busy = VFSFailure(SQLITE_BUSY)
  /// What a transaction has read is not the newest state any more: run it again.
  package static let busySnapshot = VFSFailure(SQLITE_BUSY | 2 << 8)
  package static let corruptFile = VFSFailure(SQLITE_IOERR | 33 << 8)
}
