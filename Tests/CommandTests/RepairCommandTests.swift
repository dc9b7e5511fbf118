import Glibc
import SluiceJournal
import SluiceShared
import SluiceTeardown
import Testing

@testable import sluice

@Suite("repair says what it would do, and does it")
struct RepairCommandTests {
  let place: Workplace
  private static let line = 1_000_000_000_000

  /// Batches 1 to 4 in a term each, with a checkpoint of batch 2.
  init() throws {
    place = try Workplace()
    try place.make(applying: false)
    for i in 1...4 {
      let sql = i == 1 ? "CREATE TABLE t(a)" : "INSERT INTO t VALUES(\(i))"
      try place.submit(sql, "--wait", "durable", "--id", "key-\(i)")
      try #require(try sluice(["apply", place.store, "--drain"]).code == 0)
      if i == 2 { try #require(try sluice(["checkpoint", place.store]).code == 0) }
    }
  }

  private func flip(_ name: String, _ offset: Int64) throws {
    place.isDamagedOnPurpose = true
    let path = "\(place.store)/\(name)"
    try PosixFileSystem().setPermissions(path, mode: 0o644)
    let file = try PosixFileSystem().open(path, .write)
    var byte = try file.read(1, at: offset)
    byte[0] ^= 1
    try file.write(byte, at: offset)
  }

  private func remove(_ name: String) throws {
    place.isDamagedOnPurpose = true
    try PosixFileSystem().unlink("\(place.store)/\(name)")
  }

  /// verify names `what`; repair says `step`, changes nothing, and does it with --yes; then nothing is damaged.
  private func repaired(_ what: String, _ steps: String..., lost: [String] = []) throws {
    try repaired(what, steps, lost: lost)
  }

  private func repaired(_ what: String, _ steps: [String], lost: [String] = []) throws {
    let verified = try sluice(["verify", place.store])
    #expect(verified.code == 76 && verified.output.contains(what), "\(verified.output)")
    let planned = try sluice(["repair", place.store])
    #expect(planned.code == 76, "\(planned.output)\(planned.errors)")
    for step in steps {
      #expect(planned.output.contains("to do: \(step)"), "\(planned.output)")
    }
    for line in lost { #expect(planned.output.contains(line), "\(planned.output)") }
    #expect(
      planned.output.hasSuffix("nothing was changed; stop all appliers, then --yes does it\n"))
    #expect(try sluice(["verify", place.store]).output == verified.output)
    let done = try sluice(["repair", place.store, "--yes", "--ttl", "0.5"])
    #expect(done.code == 0 && done.output.contains("\ndone; "), "\(done.output)\(done.errors)")
    let after = try sluice(["verify", place.store])
    #expect(after.code == 0, "\(after.output)")
    place.isDamagedOnPurpose = false
    let again = try sluice(["repair", place.store, "--yes"])
    #expect(again.code == 0 && again.output == "all is whole; there is nothing to repair\n")
  }

  private func values() throws -> String {
    try place.query("SELECT group_concat(a) FROM t", "--csv").lines.last ?? ""
  }

  private func goesOn() throws {
    try place.submit("INSERT INTO t VALUES(9)", "--wait", "durable")
    try #require(try sluice(["apply", place.store, "--drain"]).code == 0)
    #expect(try values().contains("9"))
  }

  @Test("The newest checkpoint deleted")
  func deletedCheckpoint() throws {
    try remove("checkpoints/0000000000000002.sqlite")
    try remove("checkpoints/0000000000000002.pages")
    try repaired(
      "current.sqlite leads to checkpoint 2, which is not there",
      "a checkpoint of batch 4 is made", "current.sqlite leads to the newest")
    #expect(try values() == "\"2,3,4\"")
    try goesOn()
  }

  @Test("The newest checkpoint damaged")
  func damagedCheckpoint() throws {
    try flip("checkpoints/0000000000000002.sqlite", 5000)
    try repaired(
      "page 2 of a checkpoint is damaged",
      "\(place.store)/checkpoints/0000000000000002.sqlite is moved to repaired/",
      "a checkpoint of batch 4 is made")
    #expect(try values() == "\"2,3,4\"")
    try goesOn()
  }

  @Test("A beacon that a crash tore in a closed segment is a remark, and nothing to repair")
  func closedBeacon() throws {
    try flip("log/000000000002.log", Block.beacons.0 + 9)
    let verified = try sluice(["verify", place.store])
    #expect(verified.code == 0 && verified.lines.count == 2, "\(verified.output)")
    let path = "\(place.store)/log/000000000002.log"
    #expect(
      verified.output.hasPrefix(
        "remark: \(path) at byte \(Block.beacons.0): a beacon of a log segment is damaged;"
      ) && verified.output.contains("\nall is whole"), "\(verified.output)")
    let objects = try sluice(["verify", place.store, "--json"]).lines
    #expect(objects.first?.contains("\"remark\": \"a beacon") ?? false, "\(objects)")
    #expect(objects.last?.contains("\"damages\": 0, \"remarks\": 1") ?? false, "\(objects)")
    #expect(
      try sluice(["repair", place.store]).output == "all is whole; there is nothing to repair\n")
  }

  @Test("current.sqlite gone")
  func current() throws {
    try remove("current.sqlite")
    try repaired("current.sqlite is missing", "current.sqlite leads to the newest checkpoint")
    let shown = try sqlite3(
      "file:\(place.store)/current.sqlite?mode=ro&immutable=1", "SELECT count(*) FROM t")
    #expect(shown == "3\n")
  }

  @Test("store.json lost")
  func description() throws {
    try remove("store.json")
    try repaired("store.json is missing", "store.json is written anew: {\"sluice\": 1")
    #expect(try values() == "\"2,3,4\"")
    try goesOn()
  }

  @Test("A log segment damaged in the middle")
  func damagedLog() throws {
    // Segment 4 has the commit of batch 3, behind its start frame.
    try flip("log/000000000004.log", 20480 + 5)
    try repaired(
      "frames of the log are damaged", "the state as of batch 2 becomes batch \(Self.line)",
      lost: [
        "lost: batch 3; nothing of what was done can be read", "lost: batch 4  20",
        "key key-4", "INSERT INTO t VALUES(4)",
      ])
    #expect(try values() == "2")
    // Its key is free again, since nothing of it was done.
    try place.submit("INSERT INTO t VALUES(4)", "--wait", "durable", "--id", "key-4")
    try #require(try sluice(["apply", place.store, "--drain"]).code == 0)
    #expect(try values() == "\"2,4\"")
    let gone = try sluice(["outcome", place.store, "--txid", "4"])
    #expect(gone.code == 76 && gone.errors.contains("batch 4 is lost"), "\(gone.errors)")
    try goesOn()
  }

  @Test("All of log/ lost, and the directory itself", arguments: [false, true])
  func lostLog(withDirectory: Bool) throws {
    for name in try PosixFileSystem().list("\(place.store)/log") where name.hasSuffix(".log") {
      try remove("log/\(name)")
    }
    var steps = ["the state as of batch 2 becomes batch \(Self.line)"]
    if withDirectory {
      for name in ["log/old", "log"] { #expect(rmdir("\(place.store)/\(name)") == 0) }
      steps.append("\(place.store)/log is made anew, empty")
    } else {
      #expect(try sluice(["apply", place.store, "--drain"]).code == 76)
    }
    try repaired(
      "the log has no segment", steps,
      lost: ["lost: whatever was published behind batch 2; nothing is left that shows it"])
    #expect(try values() == "2")
    try goesOn()
    #expect(try place.status()["txid"]?.integer == Int64(Self.line) + 1)
    #expect(try sluice(["replay", place.store, "--into", "\(place.path)/again"]).code == 0)
  }

  @Test(
    "All of journal/ lost, or what is for quarantine in it", arguments: ["journal", "quarantine"])
  func lostJournal(_ name: String) throws {
    place.isDamagedOnPurpose = true
    let journal = "\(place.store)/journal"
    #expect(rmdir("\(journal)/quarantine") == 0)
    if name == "journal" {
      for file in try PosixFileSystem().list(journal) { try remove("journal/\(file)") }
      #expect(rmdir(journal) == 0)
    }
    let lost = name == "journal" ? journal : "\(journal)/quarantine"
    try repaired("\(lost): journal", "\(lost) is made anew, empty")
    #expect(try values() == "\"2,3,4\"")
    try goesOn()
  }

  @Test("Without checkpoints/ there is nothing to go by")
  func lostCheckpoints() throws {
    place.isDamagedOnPurpose = true
    let checkpoints = "\(place.store)/checkpoints"
    for file in try PosixFileSystem().list(checkpoints) { try remove("checkpoints/\(file)") }
    #expect(rmdir(checkpoints) == 0)
    let verified = try sluice(["verify", place.store])
    #expect(
      verified.code == 76 && verified.output.contains("the store has no checkpoint"),
      "\(verified.output)")
    let planned = try sluice(["repair", place.store])
    #expect(
      planned.code == 76 && planned.errors.contains("no checkpoint is whole"), "\(planned.errors)")
  }

  @Test("An applier that refuses because of damage leaves nothing behind")
  func refusal() throws {
    try remove("log/000000000005.log")
    let before = try PosixFileSystem().list("\(place.store)/log").sorted()
    for _ in 0..<3 {
      let result = try sluice(["apply", place.store, "--drain"])
      #expect(result.code == 76, "\(result.errors)")
      #expect(result.errors.contains("there was a later one, and it is missing"))
    }
    #expect(try PosixFileSystem().list("\(place.store)/log").sorted() == before)
    try repaired("so there was a later one, and it is missing", "the state as of batch 3 becomes")
    try goesOn()
  }

  @Test("Not while an applier leads")
  func leads() throws {
    try place.startApplier()
    try #require(try sluice(["submit", place.store, "INSERT INTO t VALUES(5)"]).code == 0)
    try remove("current.sqlite")
    // Each minute it sets that right by itself.
    let result = try sluice(["repair", place.store, "--yes", "--ttl", "3"])
    #expect(result.code == 75, "\(result.output)\(result.errors)")
    #expect(result.errors.contains("an applier leads this store"))
    _ = try place.stopApplier()
  }

  @Test("A right that was taken away is not given back unless it is said")
  func right() throws {
    try #require(try sluice(["config", place.store, "--transactions", "none"]).code == 0)
    try remove("store.json")
    let told = try sluice(["repair", place.store])
    #expect(told.output.contains("nobody may commit interactive transactions any more: they were"))
    #expect(told.output.contains("say it with --transactions\n"), "\(told.output)")
    try #require(try sluice(["repair", place.store, "--yes", "--ttl", "0.5"]).code == 0)
    #expect(try sluice(["config", place.store]).output.contains("transactions  none"))
    try remove("store.json")
    let said = try sluice(
      ["repair", place.store, "--yes", "--ttl", "0.5", "--transactions", "uid:5"])
    #expect(said.code == 0 && !said.output.contains("nobody may commit"), "\(said.output)")
    #expect(try sluice(["config", place.store]).output.contains("transactions  uid:5"))
  }

  @Test("What nothing says any more has to be said")
  func unsaid() throws {
    try remove("store.json")
    let nowhere = try sluice(["repair", "\(place.path)/nowhere"])
    #expect(nowhere.code == 66, "\(nowhere.errors)")
    #expect(try sluice(["repair", place.store, "--lease", "other"]).code == 64)
  }
}
