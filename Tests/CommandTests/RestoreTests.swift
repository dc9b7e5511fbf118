import Glibc
import SluiceSQLite
import SluiceShared
import SluiceTeardown
import Testing

@testable import sluice

@Suite("restore writes the database as it was")
struct RestoreTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make()
    try place.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    for i in 1...5 { try place.execute("INSERT INTO t VALUES (\(i), hex(randomblob(2000)))") }
  }

  private func names() throws -> [String] {
    try PosixFileSystem().list(place.path).sorted()
  }

  @Test("As of each batch, as a reader sees it")
  func asOfEachBatch() throws {
    _ = try sluice(["checkpoint", place.store])
    try place.execute("DELETE FROM t WHERE a < 3")
    for txid in 1...7 {
      let into = "\(place.path)/\(txid).sqlite"
      let result = try sluice(["restore", place.store, "--into", into, "--txid", "\(txid)"])
      #expect(result.code == 0 && result.output == "\(txid) \(into)\n", "\(result.errors)")
      #expect(result.errors == "")
      let copy = try Connection(path: into, flags: [.readOnly])
      let rows = try place.query("SELECT a, b FROM t ORDER BY a", "--csv", "--txid", "\(txid)")
        .lines
      #expect(
        try copy.query("SELECT a || ',' || b FROM t ORDER BY a").map { $0[0] }
          == rows.dropFirst().map { .text($0) })
      #expect(try copy.scalar("PRAGMA integrity_check") == "ok")
    }
  }

  @Test("The present, from which a store can be made")
  func present() throws {
    let into = "\(place.path)/now.sqlite"
    #expect(try sluice(["restore", place.store, "--into", into]).code == 0)
    #expect(try PosixFileSystem().status(into).permissions & 0o777 == 0o600)
    let other = try Workplace()
    try other.make("--from", into)
    #expect(
      try other.query("SELECT * FROM t", "--csv").output
        == place.query("SELECT * FROM t", "--csv").output)
  }

  @Test("Nothing is overwritten, and nothing is left of what fails")
  func refusals() throws {
    let taken = try place.file("taken", "mine")
    _ = try place.file("new-wal", "another database's")
    let before = try names()
    for (into, code, what) in [
      (taken, 64, "nothing is overwritten"), ("\(place.path)/new", 64, "journal of another"),
      ("\(place.path)/nowhere/new", 66, "nowhere"), ("\(place.path)/", 64, "no name for a file"),
    ] as [(String, Int32, String)] {
      let result = try sluice(["restore", place.store, "--into", into])
      #expect(result.code == code && result.errors.contains(what), "\(result.errors)")
    }
    #expect(try PosixFileSystem().open(taken, .fixed).read(10, at: 0) == Array("mine".utf8))
    #expect(try names() == before)
  }

  @Test("Damage in the log is no file")
  func damage() throws {
    place.isDamagedOnPurpose = true
    _ = try place.stopApplier()
    // The applier's; the first one is that of `init`.
    let file = try PosixFileSystem().open("\(place.store)/log/000000000002.log", .write)
    // The middle of each block that is written, where pages are for the most part.
    for offset in stride(from: Int64(5 * 4096 + 2048), to: 128 << 10, by: 4096) {
      var byte = try file.read(1, at: offset)
      byte[0] ^= 1
      try file.write(byte, at: offset)
    }
    let before = try names()
    let result = try sluice(["restore", place.store, "--into", "\(place.path)/x.sqlite"])
    #expect(result.code == 76 && result.errors.contains("damaged"), "\(result.errors)")
    #expect(try names() == before)
  }

  @Test("Progress is a line")
  func progress() {
    #expect(
      ProgressLine.text("restoring", done: 250_000_000, of: 1_000_000_000, after: .seconds(1))
        == "restoring 25 %, 250 MB/s, 3 s left")
    #expect(
      ProgressLine.text("restoring", done: 1, of: 1_000_000_000, after: .zero)
        == "restoring 0 %, 0 MB/s, 999999 s left")
  }
}
