internal import SluiceJournal
internal import SluiceShared

extension Environment {
  /// Changes the directory of `target`, and waits for the answer, which brings the changes before it
  /// along: also a name whose maker died before it was answered. For NFS, where a directory's sync asks
  /// nobody. It is not made by one more name of a file, which would be a stranger's if this process died
  /// before that is removed.
  func changeDirectory(of target: String) throws(StoreError) {
    let temporary = StoreLayout.temporaryName(target, random())
    do throws(StoreError) {
      _ = try fileSystem.createUncached(temporary, mode: 0o600)
      try fileSystem.unlink(temporary)
    } catch {
      // Made, and an answer: EEXIST to a request sent again, since nobody else has this name; or another
      // applier has removed it, who takes it for left behind.
      guard error.isExistingFile || error.isGone else { throw error }
      if error.isExistingFile { try? fileSystem.unlink(temporary) }
    }
  }
}
