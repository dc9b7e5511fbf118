internal import CSQLite
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared
internal import SluiceVFS

/// The VFS that the applier's SQLite runs over: the database comes from checkpoint and log, what is
/// written becomes a commit frame, everything else is scratch.
final class ApplierFileSystem: VirtualFileSystem, @unchecked Sendable {
  // Sendable: used by the one connection of one session, on the applier's thread; the registration
  // with SQLite does not touch it.
  let database: DatabaseFile
  let budget: ScratchFile.Budget
  private let fileSystem: any FileSystem
  /// What 'now' means: the commit's time, Unix milliseconds.
  var now_ms: Int64 = 0

  static let databaseName = "/database"

  init(_ database: DatabaseFile, fileSystem: any FileSystem, scratchBytes: Int64) {
    self.database = database
    self.fileSystem = fileSystem
    let budget = ScratchFile.Budget(limit: scratchBytes)
    self.budget = budget
    budget.elsewhere = { [unowned database] in database.pages.scratchBytes }
    database.pages.elsewhere = { [unowned budget] in budget.used }
  }

  func open(_ name: VFSName, flags: Int32) throws(VFSFailure)
    -> (file: any VirtualFile, flags: Int32)?
  {
    if flags & SQLITE_OPEN_MAIN_DB != 0 {
      guard name.path == ApplierFileSystem.databaseName else { throw VFSFailure(SQLITE_CANTOPEN) }
      return (database, flags)
    }
    // A database that a batch attached cannot come here: ATTACH is denied and its limit is 0. What VACUUM
    // attaches is a temporary file.
    return (ScratchFile(fileSystem, budget), flags)
  }

  func currentTime_ms() -> Int64 { now_ms }

  var lastErrorText: String? { database.failure.map { "\($0)" } }
}
