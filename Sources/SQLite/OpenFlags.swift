internal import CSQLite

/// How a connection is opened (`SQLITE_OPEN_…`).
public struct OpenFlags: OptionSet, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let readOnly = OpenFlags(rawValue: SQLITE_OPEN_READONLY)
  public static let readWrite = OpenFlags(rawValue: SQLITE_OPEN_READWRITE)
  /// Creates the database when it is missing; goes with `readWrite`.
  public static let create = OpenFlags(rawValue: SQLITE_OPEN_CREATE)
  /// Takes a path that begins with `file:` for a URI with parameters.
  public static let uri = OpenFlags(rawValue: SQLITE_OPEN_URI)
  public static let memory = OpenFlags(rawValue: SQLITE_OPEN_MEMORY)
  /// The caller sees to it that one thread at a time uses the connection; a `Connection` is not
  /// `Sendable`, so this is the usual choice.
  public static let noMutex = OpenFlags(rawValue: SQLITE_OPEN_NOMUTEX)
  public static let fullMutex = OpenFlags(rawValue: SQLITE_OPEN_FULLMUTEX)
  public static let privateCache = OpenFlags(rawValue: SQLITE_OPEN_PRIVATECACHE)
  /// Refuses a path that is a symbolic link.
  public static let noFollow = OpenFlags(rawValue: SQLITE_OPEN_NOFOLLOW)
}
