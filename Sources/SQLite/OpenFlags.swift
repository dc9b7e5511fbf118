internal import CSQLite

/// How a connection is opened (`SQLITE_OPEN_…`).
package struct OpenFlags: OptionSet, Sendable {
  package let rawValue: Int32
  package init(rawValue: Int32) { self.rawValue = rawValue }

  package static let readOnly = OpenFlags(rawValue: SQLITE_OPEN_READONLY)
  package static let readWrite = OpenFlags(rawValue: SQLITE_OPEN_READWRITE)
  /// Creates the database when it is missing; goes with `readWrite`.
  package static let create = OpenFlags(rawValue: SQLITE_OPEN_CREATE)
  /// Takes a path that begins with `file:` for a URI with parameters.
  package static let uri = OpenFlags(rawValue: SQLITE_OPEN_URI)
  package static let memory = OpenFlags(rawValue: SQLITE_OPEN_MEMORY)
  /// The caller sees to it that one thread at a time uses the connection; a `Connection` is not
  /// `Sendable`, so this is the usual choice.
  package static let noMutex = OpenFlags(rawValue: SQLITE_OPEN_NOMUTEX)
  package static let fullMutex = OpenFlags(rawValue: SQLITE_OPEN_FULLMUTEX)
  package static let privateCache = OpenFlags(rawValue: SQLITE_OPEN_PRIVATECACHE)
  /// Refuses a path that is a symbolic link.
  package static let noFollow = OpenFlags(rawValue: SQLITE_OPEN_NOFOLLOW)
}
