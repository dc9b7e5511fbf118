import Foundation
import Glibc
import SluiceSQLite
import SluiceShared
import Testing

@Suite("A store's extensions are loaded as they were recorded, or not at all")
struct ExtensionTests {
  let place: Workplace

  init() throws { place = try Workplace() }

  /// Builds an extension with a function and a collation; `entry` is its entry point's name.
  private func build(
    _ name: String, entry: String, function: String = "twice", factor: Int = 2
  ) throws -> String {
    let source = try place.file(
      "\(name).c",
      """
      #include <sqlite3ext.h>
      #include <string.h>
      SQLITE_EXTENSION_INIT1
      static void times(sqlite3_context *c, int n, sqlite3_value **v) {
        sqlite3_result_int64(c, \(factor) * sqlite3_value_int64(v[0]));
      }
      static int backwards(void *x, int n, const void *a, int m, const void *b) {
        int least = n < m ? n : m, order = memcmp(b, a, least);
        return order ? order : m - n;
      }
      int \(entry)(sqlite3 *db, char **error, const sqlite3_api_routines *api) {
        SQLITE_EXTENSION_INIT2(api)
        sqlite3_create_collation(db, "backwards_\(function)", SQLITE_UTF8, 0, backwards);
        return sqlite3_create_function(
            db, "\(function)", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, 0, times, 0, 0);
      }
      """)
    let path = "\(place.path)/\(name).so"
    let built = try ChildProcess("cc", ["-shared", "-fPIC", "-o", path, source]).result()
    try #require(built.code == 0, "\(built.errors)")
    return path
  }

  private var only: String {
    get throws {
      let names = try FileManager.default.contentsOfDirectory(atPath: "\(place.store)/extensions")
      return "\(place.store)/extensions/\(try #require(names.first))"
    }
  }

  @Test("Functions and collations, in batches, in the schema and in queries")
  func use() throws {
    let one = try build("one0", entry: "sqlite3_extension_init")
    // SQLite's other name for the entry point: the file's letters.
    let two = try build("libTwo.1", entry: "sqlite3_two_init", function: "thrice", factor: 3)
    try place.make("--extension", one, "--extension", two)
    try place.execute(
      "CREATE TABLE t(a COLLATE backwards_twice PRIMARY KEY, n, b AS (twice(n)) STORED, CHECK(thrice(n) < 100))"
    )
    try place.execute("INSERT INTO t(a, n) VALUES('a', 1), ('c', twice(2)), ('b', thrice(2))")
    #expect(try place.submit("INSERT INTO t(a, n) VALUES('d', 50)").code == 65)
    #expect(
      try place.query("SELECT a, b, thrice(n) FROM t ORDER BY a", "--csv").lines.dropFirst() == [
        "c,8,12", "b,12,18", "a,2,3",
      ])
    // Nothing of the right to load stays.
    #expect(try place.submit("SELECT load_extension('\(one)')").code == 65)
    // The files that were given are not needed any more, nor is the applier that first loaded them.
    #expect(try place.stopApplier().code == 0)
    #expect(unlink(one) == 0 && unlink(two) == 0)
    try place.startApplier()
    try place.execute("INSERT INTO t(a, n) VALUES('e', twice(1))")
  }

  @Test("store.json records name and hash, and the file is fixed")
  func record() throws {
    try place.make("--extension", try build("libone0", entry: "sqlite3_one_init"), applying: false)
    let hash = try ChildProcess("sha256sum", [try only]).result().output.prefix(64)
    let description = try String(contentsOfFile: "\(place.store)/store.json", encoding: .utf8)
    #expect(
      description.contains("\"extensions\": [{\"name\": \"libone0\", \"sha256\": \"\(hash)\"}]"))
    #expect(try only.hasSuffix("/\(hash).so"))
    var status = stat()
    #expect(stat(try only, &status) == 0 && status.st_mode & 0o777 == 0o444)
  }

  @Test("A database that needs one: what is missing is said, and with it all works")
  func imported() throws {
    let path = "\(place.path)/old.db"
    let one = try build("one0", entry: "sqlite3_extension_init")
    _ = try sqlite3(
      path, "-cmd", ".load \(one)",
      "CREATE TABLE t(a COLLATE backwards_twice, n CHECK(twice(n) < 100)); CREATE INDEX i ON t(a); INSERT INTO t VALUES('a', 1), ('b', 2)"
    )
    let without = try sluice(["init", "\(place.path)/without", "--from", path])
    #expect(without.code == 0)
    #expect(
      without.errors.contains(
        "table t cannot be used here: no such collation sequence: backwards_twice, unknown function: twice(); batches that need it are rejected, unless `init --extension` brings it"
      ),
      "\(without.errors)")
    let with = try sluice(["init", place.store, "--from", path, "--extension", one])
    #expect(with.code == 0 && with.errors == "", "\(with.errors)")
    try place.startApplier()
    try place.execute("INSERT INTO t VALUES('c', 3)")
    #expect(
      try place.query("SELECT a FROM t ORDER BY a", "--csv").lines.dropFirst() == ["c", "b", "a"])
  }

  @Test("A file that differs or is missing stops the applier before it claims anything")
  func changed() throws {
    try place.make(
      "--extension", try build("one0", entry: "sqlite3_extension_init"), applying: false)
    let path = try only
    #expect(chmod(path, 0o644) == 0)
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    // One byte behind what the linker looks at: it would be loaded.
    try (bytes + [0]).write(to: URL(fileURLWithPath: path))
    let differs = try sluice(["apply", place.store, "--drain"])
    #expect(
      differs.code == 76 && differs.errors.contains("one0 has another content"), "\(differs.errors)"
    )
    #expect(unlink(path) == 0)
    let missing = try sluice(["apply", place.store, "--drain"])
    #expect(missing.code == 76 && missing.errors.contains("one0 is missing"), "\(missing.errors)")
    let logs = try FileManager.default.contentsOfDirectory(atPath: "\(place.store)/log")
    #expect(logs.sorted() == ["000000000001.log", "old"])
    try bytes.write(to: URL(fileURLWithPath: path))
    #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
  }

  @Test("What cannot be loaded is refused by init, and why is said")
  func unsuitable() throws {
    let one = try build("one0", entry: "sqlite3_extension_init")
    var bytes = try Data(contentsOf: URL(fileURLWithPath: one))
    bytes[18] = 243
    try bytes.write(to: URL(fileURLWithPath: "\(place.path)/risc.so"))
    let text = try place.file("text.so", String(repeating: "no library ", count: 20))
    let nameless = try build("nameless", entry: "sqlite3_other_init")
    let cases: [([String], Int32, String)] = [
      (["\(place.path)/risc.so"], 76, "it is built for RISC-V"), ([text], 76, "no shared library"),
      ([nameless], 76, "sqlite3_nameless_init"), ([one, one], 64, "given twice"),
      (["\(place.path)/none.so"], 66, "there is no such extension"),
      ([place.path], 64, "a regular file"),
    ]
    for (paths, code, message) in cases {
      let result = try sluice(["init", place.store] + paths.flatMap { ["--extension", $0] })
      #expect(result.code == code && result.errors.contains(message), "\(result.errors)")
      #expect(access(place.store, F_OK) != 0)
    }
  }

  private static let isRoot = geteuid() == 0

  @Test("Another user's code runs in a query only when that is asked for", .enabled(if: isRoot))
  func trust() throws {
    try place.make(
      "--extension", try build("one0", entry: "sqlite3_extension_init"), applying: false)
    #expect(chown(try only, 65534, 65534) == 0)
    let refused = try place.query("SELECT twice(4) AS n")
    #expect(refused.code == 64)
    #expect(
      refused.errors.contains("one0 belongs to another user and was not loaded")
        && refused.errors.contains("--trust-extensions"), "\(refused.errors)")
    #expect(try place.query("SELECT 4 AS n", "--csv").lines == ["n", "4"])
    #expect(
      try place.query("SELECT twice(4) AS n", "--csv", "--trust-extensions").lines == ["n", "8"])
  }
}
