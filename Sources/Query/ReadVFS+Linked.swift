public import SluiceReader
internal import SluiceSQLite
public import SluiceShared
internal import SluiceVFS

/// The file system for SQLite named `sluice` in the library that this process links.
extension ReadVFS {
  private static let fileSystem = StoreFileSystem(.linked)
  private static let registration = VFSRegistration(name: name, fileSystem)

  /// Makes it known to SQLite; once per process, further calls do nothing.
  public static func register() { _ = registration }

  /// Why this thread's last call failed that did: SQLite itself tells no more than a code. On a connection that is open
  /// `PRAGMA sluice_error` tells what failed there.
  public static var lastError: StoreError? { fileSystem.lastError }
}
