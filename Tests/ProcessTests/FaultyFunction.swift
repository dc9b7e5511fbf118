import Glibc
import SluiceApplier
import SluiceShared
import Testing

/// An extension of SQLite with functions that befall the process that calls them. Each call adds a byte to
/// the file that it names, and the call that finds it with as many bytes as are said does nothing.
///
///     nap(PATH, N)      sleeps for ever, and uses no processor time
///     fall(PATH, N)     aborts the process
///     linger(PATH, N)   the commit that follows computes for ever
///     stall(PATH, N)    the commit that follows sleeps for ever
final class FaultyFunction: Sendable {
  private let place: String
  /// The extension.
  let library: String

  init() throws {
    var template = Array("/tmp/sluice-faulty-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    place = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    try #require(chmod(place, 0o755) == 0)
    library = "\(place)/faulty.so"
    let source = "\(place)/faulty.c"
    let file = try PosixFileSystem().create(source, mode: 0o644)
    try file.write(Array(FaultyFunction.source.utf8), at: 0)
    let built = try ChildProcess("cc", ["-shared", "-fPIC", "-o", library, source]).end()
    try #require(built.code == 0, "\(built.errors)")
  }

  deinit { _ = try? ChildProcess("rm", ["-rf", place]).end() }

  func store() throws -> TestStore {
    var creation = StoreCreation()
    creation.extensions = [library]
    return try TestStore(creation)
  }

  /// A call that does nothing in its `last` try.
  func call(_ function: String, last: Int) -> String {
    "\(function)('\(tries(function))', \(last))"
  }

  private func tries(_ function: String) -> String { "\(place)/\(function).tries" }

  /// How often a function was called.
  func count(_ function: String) throws -> Int {
    Int(try PosixFileSystem().status(tries(function)).size)
  }

  private static let source = """
    #include <sqlite3ext.h>
    #include <fcntl.h>
    #include <stdlib.h>
    #include <sys/stat.h>
    #include <unistd.h>
    SQLITE_EXTENSION_INIT1
    static volatile int lingers, stalls;
    static int is_last(sqlite3_value **v) {
      int file = open((const char *)sqlite3_value_text(v[0]), O_WRONLY | O_CREAT | O_APPEND, 0666);
      struct stat status;
      if (file < 0 || write(file, "x", 1) != 1 || fstat(file, &status) != 0) return 1;
      close(file);
      return status.st_size >= sqlite3_value_int64(v[1]);
    }
    static void nap(sqlite3_context *c, int n, sqlite3_value **v) {
      if (!is_last(v)) for (;;) sleep(1000);
      sqlite3_result_int(c, 2);
    }
    static void fall(sqlite3_context *c, int n, sqlite3_value **v) {
      if (!is_last(v)) abort();
      sqlite3_result_int(c, 2);
    }
    static void linger(sqlite3_context *c, int n, sqlite3_value **v) {
      lingers = !is_last(v);
      sqlite3_result_int(c, 2);
    }
    static void stall(sqlite3_context *c, int n, sqlite3_value **v) {
      stalls = !is_last(v);
      sqlite3_result_int(c, 2);
    }
    static int committing(void *x) {
      while (lingers) {}
      while (stalls) sleep(1000);
      return 0;
    }
    int sqlite3_extension_init(sqlite3 *db, char **error, const sqlite3_api_routines *api) {
      SQLITE_EXTENSION_INIT2(api)
      int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
      sqlite3_commit_hook(db, committing, 0);
      sqlite3_create_function(db, "nap", 2, flags, 0, nap, 0, 0);
      sqlite3_create_function(db, "fall", 2, flags, 0, fall, 0, 0);
      sqlite3_create_function(db, "linger", 2, flags, 0, linger, 0, 0);
      return sqlite3_create_function(db, "stall", 2, flags, 0, stall, 0, 0);
    }
    """
}
