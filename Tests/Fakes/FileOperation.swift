package import SluiceShared

/// One operation on a `MemoryFileSystem` or a `HookedFileSystem`, as the hook sees it before it is done.
package struct FileOperation: Hashable, Sendable {
  package enum Action: String, Hashable, Sendable {
    case open, create, list, link, unlink, makeDirectory, setPermissions, syncDirectory, status
    case replaceSymbolicLink, readSymbolicLink, scratchFile
    case read, write, sync, resize, nextData
    /// Between the two halves of a torn read, listing or write.
    case readOn, listOn, writeOn
  }

  package var action: Action
  /// Of a link, the new name.
  package var path: String
  /// Of a link, the name that there was. Only of a `HookedFileSystem`, as the two below.
  package var from: String?
  package var access: FileAccess?
  /// Asked of an open file, not of a path.
  package var isOfOpenFile = false
  /// It is under way together with the one before it.
  package var isBeside = false
  package var offset: Int64 = 0
  package var count = 0

  package init(_ action: Action, _ path: String, offset: Int64 = 0, count: Int = 0) {
    self.action = action
    self.path = path
    self.offset = offset
    self.count = count
  }
}

/// What becomes of an operation.
package enum FileFate: Sendable {
  case done
  /// It is not done, and the caller gets the error. Of a sync: what was afloat may still land.
  case fails(StoreError)
  /// It is done, and the caller gets the error all the same: a lost reply, or a retry's answer.
  case doneButFails(StoreError)
  /// Of a write: it succeeds, and lands piece by piece (`pieceBytes` each, in any order) until the
  /// file's next sync, as a page cache does it; past the cache, and on a local host, half of it may be
  /// there before the other half, and all of it when the write returns. Of a read: it is made in two
  /// halves. Of a listing: a name made or removed while it is under way may be missing or be there,
  /// as a hash of it and `pieceBytes` has it. All else is done.
  case torn(pieceBytes: Int)
  /// Of a write: the caller gets the error, and any pieces of it may land at any later time. All
  /// else fails.
  case failsTorn(pieceBytes: Int, StoreError)
}

/// Called before each operation, on the thread that makes it: may wait (a scheduler), and says what
/// becomes of it.
package typealias FileHook = @Sendable (FileOperation) -> FileFate

extension StoreError {
  /// An error as `PosixFileSystem` makes it.
  package static func posix(_ code: Int32, _ path: String, _ what: String = "failed") -> StoreError
  {
    StoreError(code == 2 ? .noSuchStore : .io, "\(what): errno \(code)", path: path, errno: code)
  }
}
