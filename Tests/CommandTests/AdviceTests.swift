import Foundation
import Glibc
import SluiceShared
import SluiceTeardown
import Testing

@Suite("Who meets a broken store is told what is wrong and what to do, by each command the same")
struct AdviceTests {
  let place: Workplace

  /// Two batches, in a term each.
  init() throws {
    place = try Workplace()
    try place.make(applying: false)
    for sql in ["CREATE TABLE t(a)", "INSERT INTO t VALUES (1)"] {
      try place.submit(sql, "--wait", "durable")
      try #require(try sluice(["apply", place.store, "--drain"]).code == 0)
    }
  }

  private func remove(_ path: String) throws {
    try FileManager.default.removeItem(atPath: path)
  }

  private func names(_ directory: String) throws -> [String] {
    try PosixFileSystem().list("\(place.store)/\(directory)").sorted()
  }

  /// Ends with `code`, and says `what`.
  private func expect(_ command: [String], _ code: Int32, _ what: String) throws {
    let end = try sluice(command)
    #expect(end.code == code, "\(command): \(end.code) \(end.output)\(end.errors)")
    #expect((end.output + end.errors).contains(what), "\(command): \(end.output)\(end.errors)")
  }

  @Test("No checkpoint is there", arguments: [true, false])
  func checkpoints(_ hasCurrent: Bool) throws {
    place.isDamagedOnPurpose = true
    for name in try names("checkpoints") { try remove("\(place.store)/checkpoints/\(name)") }
    if !hasCurrent { try remove("\(place.store)/current.sqlite") }
    for option in [[], ["--json"]] {
      let end = try sluice(["verify", place.store] + option)
      #expect(end.code == 76 && end.output.contains("the store has no checkpoint"), "\(end.output)")
      #expect(end.output.contains("restore the store from a backup"))
      #expect(!end.output.contains("sluice checkpoint"), "\(end.output)")
    }
  }

  @Test("store.json is missing")
  func description() throws {
    try remove("\(place.store)/store.json")
    for command in ["status", "apply", "verify"] {
      try expect([command, place.store], 76, "store.json is missing")
    }
    try expect(["status", place.store], 76, "`sluice repair` writes it anew")
  }

  @Test("The newest segment of the log is missing")
  func newestSegment() throws {
    place.isDamagedOnPurpose = true
    let newest = try #require(try names("log").last { $0.hasSuffix(".log") })
    try remove("\(place.store)/log/\(newest)")
    for command in [["query", place.store, "SELECT 1"], ["apply", place.store, "--drain"]] {
      try expect(command, 76, "so there was a later one, and it is missing")
      try expect(command, 76, "restore it from a backup, or see `sluice repair`")
    }
    let verified = try sluice(["verify", place.store])
    #expect(verified.output.contains("a backup, or see `sluice repair`"), "\(verified.output)")
    #expect(!verified.output.contains("named above"))
  }

  @Test("An `init` that was cut off: before store.json, and before the log")
  func unfinished() throws {
    place.isDamagedOnPurpose = true
    let made = ["journal", "journal/quarantine", "log", "log/old", "checkpoints"]
    for count in 1...made.count {
      let path = "\(place.path)/cut\(count)"
      for name in made.prefix(count) {
        try FileManager.default.createDirectory(
          atPath: "\(path)/\(name)", withIntermediateDirectories: true)
      }
      try expect(["init", path], 64, "`sluice status` tells which")
      let told = "an `init` made that is under way, or was cut off"
      try expect(["status", path], 66, told)
      try expect(["apply", path], 66, "remove")
    }
    let path = "\(place.path)/late"
    try #require(try sluice(["init", path]).code == 0)
    try remove("\(path)/log/000000000001.log")
    try expect(["init", path], 64, "`sluice status` tells which")
    try expect(["status", path], 76, "`sluice init` was cut off, or the log is lost")
    try expect(["apply", path], 76, "if the store was never used, remove it and make it again")
  }

  @Test("apply --all of a directory without a store, and of a store")
  func all() throws {
    let empty = "\(place.path)/empty"
    try FileManager.default.createDirectory(
      atPath: "\(empty)/other", withIntermediateDirectories: true)
    let end = try sluice(["apply", "--all", empty, "--drain"])
    #expect(end.code == 0 && end.errors.contains("no store in \(empty)"), "\(end.errors)")
    try expect(["apply", "--all", place.store, "--drain"], 64, "is a store itself")
    let applied = try sluice(["apply", "--all", place.path, "--drain"])
    #expect(applied.code == 0 && !applied.errors.contains("no store in"), "\(applied.errors)")
  }

  @Test("A journal file with a second name is ignored, whether an applier leads or not")
  func secondName() throws {
    try place.submit("INSERT INTO t VALUES (2)", "--wait", "durable")
    let name = try #require(try names("journal").first { $0.hasSuffix(".seg") })
    let segment = "\(place.store)/journal/\(name)"
    #expect(link(segment, "\(place.path)/second") == 0)
    func ignored() throws -> JSON? {
      let status = try sluice(["status", place.store, "--json"])
      #expect(status.code == 76, "\(status.errors)")
      return try status.json().first
    }
    let released = try ignored()
    #expect(released?["ignored"]?.integer == 1)
    #expect(released?["backlog"]?["batches"]?.integer == 0)
    let drained = try sluice(["apply", place.store, "--drain"])
    #expect(drained.errors.contains("stop the appliers at once, remove the other names"))
    // As while it is moved there.
    #expect(unlink("\(place.path)/second") == 0)
    #expect(link(segment, "\(place.store)/journal/quarantine/\(name)") == 0)
    let moving = try ignored()
    #expect(moving?["ignored"]?.integer == 0)
    #expect(moving?["backlog"]?["batches"]?.integer == 1)
  }
}
