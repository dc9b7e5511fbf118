import ArgumentParser
import Foundation
import Glibc
import SluiceShared
import Testing

@testable import sluice

@Suite("status says by its exit code whether a store is well, and waits for what scripts need")
struct HealthTests {
  @Test("With an applier, and without one as long as nothing waits, it is well")
  func well() throws {
    let place = try Workplace()
    try place.make(applying: false)
    #expect(try sluice(["status", place.store]).code == 0)
    try place.startApplier()
    try place.execute("CREATE TABLE t(a)")
    let led = try sluice(["status", place.store, "--json"])
    #expect(led.code == 0 && led.errors.isEmpty)
    _ = try place.stopApplier()
    #expect(try sluice(["status", place.store]).code == 0)
    try place.submit("INSERT INTO t VALUES (1)", "--wait", "durable")
    let waiting = try sluice(["status", place.store, "--json"])
    #expect(waiting.code == 69)
    #expect(waiting.errors.contains("no applier leads, and 1 batches wait"), "\(waiting.errors)")
    // What it says is there all the same.
    #expect(try waiting.json().first?["backlog"]?["batches"]?.integer == 1)
    #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
    #expect(try sluice(["status", place.store]).code == 0)
  }

  @Test("What is wrong has a code of its own, and what a person must see to comes first")
  func wrong() throws {
    let place = try Workplace()
    try place.make(applying: false)
    let status = try StoreStatus.read(place.store, .posix())
    func code(_ change: (inout StoreStatus) -> Void) -> ExitCode? {
      var status = status
      change(&status)
      return Health(status)?.code
    }
    #expect(code { _ in } == nil)
    #expect(code { $0.state = .active } == nil)
    #expect(code { $0.state = .silent } == .noApplier)
    #expect(
      code {
        $0.state = .active
        $0.backlog.batches = 7
        $0.backlog.oldest_ms = 60_000
      } == nil)
    #expect(
      code {
        $0.state = .active
        $0.backlog.batches = 7
        $0.backlog.oldest_ms = 60_001
      } == .tryAgain)
    #expect(
      code {
        $0.state = .silent
        $0.quarantined = 1
      } == .damaged)
    #expect(code { $0.backlog.ignored = 1 } == .damaged)
  }

  @Test("--wait-until led returns when an applier leads, or ends with 69")
  func led() throws {
    let place = try Workplace()
    try place.make(applying: false)
    let late = try sluice(["status", place.store, "--wait-until", "led", "--timeout", "0.3"])
    #expect(late.code == 69 && late.output.isEmpty)
    #expect(late.errors.contains("no applier leads"), "\(late.errors)")
    let waiting = try startSluice(
      ["status", place.store, "--wait-until", "led", "--timeout", "60", "--json"])
    try place.startApplier()
    let end = try waiting.result()
    #expect(end.code == 0)
    #expect(try end.json().first?["applier"]?["state"]?.string == "active")
  }

  @Test("--wait-until applied waits for what was there, and not for what comes")
  func applied() throws {
    let place = try Workplace()
    try place.make(applying: false)
    let nothing = try sluice(["status", place.store, "--wait-until", "applied", "--timeout", "0"])
    #expect(nothing.code == 0, "\(nothing.errors)")
    try place.submit("CREATE TABLE t(a)", "--wait", "durable")
    for n in 0..<5 { try place.submit("INSERT INTO t VALUES (\(n))", "--wait", "durable") }
    let late = try sluice(["status", place.store, "--wait-until", "applied", "--timeout", "0.3"])
    #expect(late.code == 69)
    #expect(late.errors.contains("not all that waited"), "\(late.errors)")
    let waiting = try startSluice(
      ["status", place.store, "--wait-until", "applied", "--timeout", "60"])
    try place.startApplier()
    #expect(try waiting.result().code == 0)
    #expect(try place.query("SELECT count(*) AS n FROM t", "--json").output == "{\"n\": 5}\n")
    // A rejected batch is done, too.
    try place.submit("INSERT INTO nowhere VALUES (1)", "--wait", "durable")
    let rejected = try sluice(["status", place.store, "--wait-until", "applied"])
    #expect(rejected.code == 0, "\(rejected.errors)")
  }

  @Test("Batches that come while it waits do not make it wait longer")
  func busy() throws {
    let place = try Workplace()
    try place.make()
    try place.execute("CREATE TABLE t(a)")
    let isOver = Monitor(false)
    let isEnded = Monitor(false)
    let store = place.store
    startThread {
      while !isOver.withLock({ $0 }) {
        _ = try? sluice(["submit", store, "INSERT INTO t VALUES (1)", "--wait", "durable"])
      }
      isEnded.withLock { $0 = true }
      isEnded.wakeAll()
    }
    for _ in 0..<5 {
      #expect(try sluice(["status", place.store, "--wait-until", "applied"]).code == 0)
    }
    isOver.withLock { $0 = true }
    isEnded.wait { $0 ? () : nil }
  }

  @Test("A time-out without anything to wait for is refused")
  func refused() throws {
    #expect(try sluice(["status", "/nowhere", "--timeout", "3"]).code == 64)
    #expect(try sluice(["status", "/nowhere", "--wait-until", "done"]).code == 64)
    #expect(try sluice(["status", "/nowhere", "--wait-until", "led"]).code == 66)
  }
}
