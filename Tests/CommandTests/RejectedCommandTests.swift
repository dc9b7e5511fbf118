import Glibc
import SluiceJournal
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@testable import sluice

@Suite("What was rejected or put into quarantine is listed until somebody has seen to it")
struct RejectedCommandTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make(applying: false)
  }

  private func drain() throws {
    let result = try sluice(["apply", place.store, "--drain"])
    try #require([0, 76].contains(result.code), "\(result.errors)")
  }

  /// Batch 1 makes a table, batch 2 fails for want of another one.
  private func reject() throws {
    let batches = [
      #"{"statements": [["CREATE TABLE t(a)"]]}"#,
      #"{"id": "order", "statements": [["INSERT INTO u VALUES (?, ?)", [1, "x"]]], "guards": [["SELECT 1"]]}"#,
    ]
    for batch in batches {
      try place.submit("--ndjson", "-", "--wait", "durable", input: batch + "\n")
    }
    try drain()
  }

  @Test("A rejected batch is listed, resubmitted once, and off the list")
  func resubmit() throws {
    try reject()
    let list = try sluice(["rejected", place.store])
    #expect(list.code == 0 && list.lines.count == 1, "\(list.output)\(list.errors)")
    #expect(list.output.hasPrefix("2  20") && list.output.hasSuffix("  key order\n"))
    #expect(list.output.contains("no such table: u"))
    let json = try #require(try sluice(["rejected", place.store, "--json"]).json().first)
    #expect(json["txid"]?.integer == 2 && json["id"]?.string == "order")
    #expect(json["error"]?["code"]?.string == "SQLITE_ERROR")

    try place.submit("CREATE TABLE u(a, b)", "--wait", "durable")
    // Its own key stands for the rejection.
    let used = try sluice(["resubmit", place.store, "2", "--id", "order"])
    #expect(used.code == 64 && used.errors.contains("used up the key order"))
    let command = ["resubmit", place.store, "2", "--id", "again", "--wait", "durable"]
    for _ in 0..<2 { #expect(try sluice(command).code == 0) }
    let other = try sluice(["resubmit", place.store, "2", "--id", "third"])
    #expect(other.code == 64 && other.errors.contains("resubmitted before, under the key again"))
    try drain()
    #expect(try place.query("SELECT a, b FROM u", "--csv").lines == ["a,b", "1,x"])
    #expect(try sluice(["rejected", place.store]).output == "")
    #expect(try sluice(["rejected", place.store, "--all"]).lines.count == 1)
    // With its guard, and in the history as another batch.
    let last = try #require(try sluice(["log", place.store, "--from", "4", "--json"]).json().first)
    #expect(last["id"]?.string == "again" && last["guards"] != nil)
  }

  @Test("What was discarded can be resubmitted, once; so can what nobody came to record")
  func resubmitDiscarded() throws {
    try reject()
    try place.submit("CREATE TABLE u(a, b)", "--wait", "durable")
    #expect(try sluice(["discard", place.store, "2"]).code == 0)
    let path = "\(place.store)/handled/0000000000000002"
    for isEmpty in [false, true] {
      if isEmpty {
        try PosixFileSystem().open(path, .write).resize(to: 0)
        try PosixFileSystem().unlink("\(path).after")
      }
      let command = ["resubmit", place.store, "2", "--wait", "durable", "--id"]
      #expect(try sluice(command + ["again"]).code == 0)
      let other = try sluice(command + ["third"])
      #expect(other.code == 64 && other.errors.contains("under the key again"), "\(other.errors)")
    }
    let after = try ChildProcess("cat", ["\(path).after"]).result().output
    #expect(after.hasPrefix("resubmitted again  crc32c "))
    try drain()
    #expect(try place.query("SELECT a, b FROM u", "--csv").lines == ["a,b", "1,x"])
  }

  @Test("What is recorded of it and damaged is no leave to execute it again")
  func damagedRecord() throws {
    try reject()
    try place.submit("CREATE TABLE u(a, b)", "--wait", "durable")
    let command = ["resubmit", place.store, "2", "--wait", "durable", "--id"]
    #expect(try sluice(command + ["again"]).code == 0)
    let path = "\(place.store)/handled/0000000000000002"
    let file = try PosixFileSystem().open(path, .write)
    let first = try file.read(1, at: 0)
    try file.write([first[0] ^ 1], at: 0)
    place.isDamagedOnPurpose = true
    let other = try sluice(command + ["third"])
    #expect(other.code == 76 && other.errors.contains(path), "\(other.errors)")
    let verified = try sluice(["verify", place.store])
    #expect(verified.code == 76 && verified.output.contains("\(path): what is recorded of"))
    let planned = try sluice(["repair", place.store])
    #expect(planned.output.contains("nothing to do"), "\(planned.output)\(planned.errors)")
    // As the message says.
    try PosixFileSystem().unlink(path)
    #expect(try sluice(["discard", place.store, "2"]).code == 0)
    #expect(try sluice(["verify", place.store]).code == 0)
    place.isDamagedOnPurpose = false
  }

  @Test("What is rejected again is on the list again, and ends with 65")
  func rejectedAgain() throws {
    try reject()
    try place.startApplier()
    let result = try sluice(["resubmit", place.store, "2", "--id", "again"])
    #expect(result.code == 65, "\(result.output)\(result.errors)")
    let list = try sluice(["rejected", place.store])
    #expect(list.lines.count == 1 && list.output.hasPrefix("3  20"), "\(list.output)")
  }

  @Test("What cannot be resubmitted is refused")
  func refusals() throws {
    try reject()
    for (txid, code, what) in [
      ("1", 64, "batch 1 was not rejected"), ("3", 66, "there is no batch 3"),
      ("x", 64, ""),
    ] as [(String, Int32, String)] {
      let result = try sluice(["resubmit", place.store, txid, "--id", "k"])
      #expect(result.code == code && result.errors.contains(what), "\(result.errors)")
    }
  }

  @Test("A discarded batch is off the list, and in the database and the log as before")
  func discard() throws {
    try reject()
    let result = try sluice(["discard", place.store, "2"])
    #expect(result.code == 0 && result.output.hasPrefix("discarded 2  20"), "\(result.errors)")
    #expect(try sluice(["rejected", place.store]).output == "")
    #expect(try sluice(["outcome", place.store, "--txid", "2"]).code == 65)
    #expect(try place.query("SELECT count(*) FROM _sluice_rejected", "--csv").lines.last == "1")
    #expect(try sluice(["discard", place.store, "1"]).code == 66)
    #expect(try sluice(["discard", place.store, "nonsense"]).code == 64)
    #expect(try sluice(["verify", place.store]).code == 0)
  }

  // MARK: quarantine

  /// Three batches in frames of their own, the second of which is damaged before it is read, put into quarantine.
  private func quarantined() throws -> String {
    let layout = StoreLayout(place.store)
    let journal = JournalWriter(to: try StoreHandle(at: layout, .posix()))
    for i in 1...3 {
      _ = try journal.flush([
        Batch([.init("INSERT INTO t VALUES(?)", [.integer(Int64(i))])], key: "k\(i)").encoded()
      ])
    }
    let name = try #require(
      PosixFileSystem().list(layout.journal).first { $0.hasSuffix(".00000001.seg") })
    let path = "\(layout.journal)/\(name)"
    let file = try PosixFileSystem().open(path, .write)
    var byte = try file.read(1, at: 8192 + 4096 + 100)
    byte[0] ^= 1
    try file.write(byte, at: 8192 + 4096 + 100)
    // As an applier does behind a minute of silence.
    try PosixFileSystem().link(path, to: "\(layout.quarantine)/\(name)")
    return name
  }

  @Test(
    "A quarantined segment is listed with what is whole in it and was not executed, and discarded")
  func segment() throws {
    try place.submit("CREATE TABLE t(a)", "--wait", "durable")
    try drain()
    let name = try quarantined()
    try drain()
    #expect(try place.query("SELECT a FROM t", "--csv").lines == ["a", "1"])
    let list = try sluice(["rejected", place.store])
    #expect(list.lines.count == 2, "\(list.output)\(list.errors)")
    #expect(list.lines[0].hasPrefix("\(name): 1 of its batches are in the history, 1 whole ones"))
    #expect(list.lines[1] == "  not executed: batch 3  INSERT INTO t VALUES(?)  key k3")
    let json = try #require(try sluice(["rejected", place.store, "--json"]).json().first)
    #expect(json["notExecuted"]?.integer == 1 && json["isNeeded"]?.bool == true)

    let needed = try sluice(["discard", place.store, name])
    #expect(needed.code == 75 && needed.errors.contains("has files in the journal"))
    try PosixFileSystem().unlink("\(place.store)/journal/\(name)")
    // Copies of a store may lack it.
    #expect(rmdir("\(place.store)/log/old") == 0)
    let result = try sluice(["discard", place.store, name])
    #expect(result.code == 0 && result.lines.count == 3, "\(result.output)\(result.errors)")
    #expect(result.lines[1].contains("not executed: batch 3"))
    #expect(try sluice(["rejected", place.store]).output == "")
    let moved = try #require(result.lines.last).dropFirst("moved to ".count)
    #expect(try PosixFileSystem().list(String(moved)) == [name])
    #expect(try sluice(["discard", place.store, name]).code == 66)
  }
}
