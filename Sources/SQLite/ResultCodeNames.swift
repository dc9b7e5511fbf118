/// The name in `sqlite3.h` of a primary or extended result code.
///
/// A table of names, because Swift does not import macros such as `(SQLITE_OK | (1<<8))`.
func resultCodeName(_ code: Int32) -> String {
  guard let primary = primaryNames[code & 0xFF] else { return "SQLITE_UNKNOWN_\(code)" }
  let extensions = extendedNames[primary] ?? []
  let position = Int(code >> 8) - 1
  guard extensions.indices.contains(position), let name = extensions[position] else {
    return "SQLITE_\(primary)"
  }
  return "SQLITE_\(primary)_\(name)"
}

private let primaryNames: [Int32: String] = [
  0: "OK", 1: "ERROR", 2: "INTERNAL", 3: "PERM", 4: "ABORT", 5: "BUSY", 6: "LOCKED", 7: "NOMEM",
  8: "READONLY", 9: "INTERRUPT", 10: "IOERR", 11: "CORRUPT", 12: "NOTFOUND", 13: "FULL",
  14: "CANTOPEN", 15: "PROTOCOL", 16: "EMPTY", 17: "SCHEMA", 18: "TOOBIG", 19: "CONSTRAINT",
  20: "MISMATCH", 21: "MISUSE", 22: "NOLFS", 23: "AUTH", 24: "FORMAT", 25: "RANGE", 26: "NOTADB",
  27: "NOTICE", 28: "WARNING", 100: "ROW", 101: "DONE",
]

/// The extensions of each primary code from `1 << 8` upwards; nil where SQLite left a gap.
private let extendedNames: [String: [String?]] = [
  "OK": ["LOAD_PERMANENTLY", "SYMLINK"],
  "ERROR": ["MISSING_COLLSEQ", "RETRY", "SNAPSHOT"],
  "ABORT": [nil, "ROLLBACK"],
  "BUSY": ["RECOVERY", "SNAPSHOT", "TIMEOUT"],
  "LOCKED": ["SHAREDCACHE", "VTAB"],
  "READONLY": ["RECOVERY", "CANTLOCK", "ROLLBACK", "DBMOVED", "CANTINIT", "DIRECTORY"],
  "IOERR": [
    "READ", "SHORT_READ", "WRITE", "FSYNC", "DIR_FSYNC", "TRUNCATE", "FSTAT", "UNLOCK", "RDLOCK",
    "DELETE", "BLOCKED", "NOMEM", "ACCESS", "CHECKRESERVEDLOCK", "LOCK", "CLOSE", "DIR_CLOSE",
    "SHMOPEN", "SHMSIZE", "SHMLOCK", "SHMMAP", "SEEK", "DELETE_NOENT", "MMAP", "GETTEMPPATH",
    "CONVPATH", "VNODE", "AUTH", "BEGIN_ATOMIC", "COMMIT_ATOMIC", "ROLLBACK_ATOMIC", "DATA",
    "CORRUPTFS", "IN_PAGE",
  ],
  "CORRUPT": ["VTAB", "SEQUENCE", "INDEX"],
  "CANTOPEN": ["NOTEMPDIR", "ISDIR", "FULLPATH", "CONVPATH", "DIRTYWAL", "SYMLINK"],
  "CONSTRAINT": [
    "CHECK", "COMMITHOOK", "FOREIGNKEY", "FUNCTION", "NOTNULL", "PRIMARYKEY", "TRIGGER", "UNIQUE",
    "VTAB", "ROWID", "PINNED", "DATATYPE",
  ],
  "AUTH": ["USER"],
  "NOTICE": ["RECOVER_WAL", "RECOVER_ROLLBACK", "RBU"],
  "WARNING": ["AUTOINDEX"],
]
