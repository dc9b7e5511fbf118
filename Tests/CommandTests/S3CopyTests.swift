import Foundation
import Glibc
import SluiceShared
import Testing

@testable import sluice

@Suite("A backup that comes back from an object store is a store again, as OPERATIONS says")
struct S3CopyTests {
  /// As OPERATIONS has it, in the directory that was downloaded.
  private static let wayBack = """
    mkdir -p journal/quarantine log/old && chmod 3777 journal && rm backup.json
    ln -sf "checkpoints/$(ls checkpoints | grep '[.]sqlite$' | tail -1)" current.sqlite
    """

  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make()
    try place.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
    for i in 1...3 { try place.execute("INSERT INTO t VALUES (\(i), hex(randomblob(2000)))") }
    #expect(try sluice(["checkpoint", place.store]).code == 0)
    try place.execute("INSERT INTO t(b) VALUES (4)")
  }

  /// What `aws s3 sync` uploads and downloads: the bytes of files, and no directory that has none. `links`: of what
  /// symbolic links lead to as well, as without `--no-follow-symlinks`.
  private func sync(_ source: String, to target: String, links: Bool, prefix: String = "") throws {
    let fileSystem = PosixFileSystem()
    for name in try fileSystem.list(source) where prefix + name != "journal" {
      let (path, copy) = ("\(source)/\(name)", "\(target)/\(name)")
      let isLink = (try? fileSystem.readSymbolicLink(path)) != nil
      if !isLink, try fileSystem.status(path).kind == .directory {
        try sync(path, to: copy, links: links, prefix: prefix + name + "/")
      } else if !isLink || links {
        _ = try ChildProcess("mkdir", ["-p", target]).result()
        let file = try fileSystem.open(path, .fixed)
        try fileSystem.create(copy, mode: 0o644).write(
          file.read(Int(file.status().size), at: 0), at: 0)
      }
    }
  }

  @Test("Verified, applied and submitted to", arguments: [false, true])
  func comesBack(_ links: Bool) throws {
    let (copy, back) = ("\(place.path)/copy", "\(place.path)/back")
    #expect(try sluice(["backup", place.store, "--into", copy]).code == 0)
    try sync(copy, to: back, links: links)
    let names = Set(try PosixFileSystem().list(back))
    let expected = ["backup.json", "checkpoints", "log", "store.json"]
    #expect(names == Set(links ? expected + ["current.sqlite"] : expected))
    let script = "set -e; umask 022; cd '\(back)'; \(Self.wayBack)"
    let made = try ChildProcess("sh", ["-c", script]).result()
    try #require(made.code == 0, "\(made.errors)")

    let verified = try sluice(["verify", back])
    #expect(verified.code == 0, "\(verified.output)\(verified.errors)")
    let applier = try startSluice(["apply", back, "--log-level", "warning"])
    let submitted = try sluice(["submit", back, "INSERT INTO t(b) VALUES (5)"])
    #expect(submitted.code == 0, "\(submitted.errors)")
    let count = "SELECT count(*) AS n FROM t"
    #expect(try sluice(["query", back, count, "--csv"]).lines.last == "5")
    // The next checkpoint has the link lead to it.
    let checkpoint = try sluice(["checkpoint", back])
    #expect(checkpoint.code == 0, "\(checkpoint.errors)")
    #expect(
      (try? PosixFileSystem().readSymbolicLink("\(back)/current.sqlite"))?
        .hasPrefix("checkpoints/") == true)
    applier.send(SIGTERM)
    let end = try applier.result()
    #expect(end.code == 0 && end.errors == "", "\(end.errors)")
    let again = try sluice(["verify", back, "--replay"])
    #expect(again.code == 0, "\(again.output)\(again.errors)")
    let status = try sluice(["status", back, "--json"])
    #expect(status.code == 0, "\(status.output)\(status.errors)")
  }

  @Test("OPERATIONS says it so")
  func isDocumented() throws {
    let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../docs/OPERATIONS.md")
    #expect(try String(contentsOf: page, encoding: .utf8).contains(Self.wayBack))
  }
}
