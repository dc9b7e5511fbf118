internal import Glibc

/// What root makes in somebody's directory belongs to whom the directory belongs to.
///
/// One run as root would otherwise leave log segments that the store's own appliers may not mark, and none of
/// them could claim the log again. In a directory in which everybody may make files, as `journal/` is, a file
/// says who made it: there it stays root's.
extension PosixFileSystem {
  package func giveToOwner(_ directory: String) throws(StoreError) {
    guard geteuid() == 0 else { return }
    let descriptor = try descriptor(directory, O_RDONLY | O_DIRECTORY, foreign: true)
    try giveToOwner(PosixFile(descriptor, directory))
  }

  /// What was just made, by its descriptor: its name may be another's by now. A root that may give nothing
  /// away (without CAP_CHOWN, or in a user namespace that does not know the owner) keeps it.
  func giveToOwner(_ file: PosixFile) throws(StoreError) {
    guard geteuid() == 0 else { return }
    let made = try file.status()
    // A directory that is a symbolic link is followed.
    let directory = try status(PosixFileSystem.directory(of: file.path) + "/.")
    guard made.owner == 0, directory.permissions & 0o002 == 0,
      made.owner != directory.owner || made.group != directory.group,
      fchown(file.descriptor, directory.owner, directory.group) != 0
    else { return }
    let code = errno
    guard code != EPERM, code != EINVAL else { return }
    throw posixError("fchown", file.path, code)
  }

  private static func directory(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "" : String(path[..<slash])
  }
}
