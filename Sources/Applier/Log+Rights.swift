internal import Glibc
internal import SluiceJournal
internal import SluiceShared

extension Log {
  /// Throws where this process could not lead for want of a right: who finds that out by a claim, hours later,
  /// is no standby. A right that is lost since is found by the claim (`LogClaim.hasParent`).
  ///
  /// All else that may be wrong with the log is met, and named, by who claims it.
  func proveWritable() throws(StoreError) {
    let fileSystem = store.fileSystem
    guard let newest = try? listed().first else { return }
    let path = store.layout.segment(newest)
    do throws(StoreError) { try fileSystem.proveWritable(path) } catch {
      var error = error
      if error.errno == EACCES, let owner = try? fileSystem.status(store.layout.log).owner {
        error.message =
          "this process could not take over: \(error.message). An applier runs as the store's user, \(owner); if a file of the store is another's, give it back: chown \(owner)"
      } else if error.errno != EROFS && error.errno != EPERM {
        return
      }
      throw error
    }
  }
}
