import Glibc
import SluiceJournal
import SluiceShared
import Testing

@Suite("An applier may end or pause at any moment: nothing is lost, repeated or taken back")
struct ApplierProcessTests {
  @Test("Killed again and again under load, with and without a standby")
  func killed() async throws {
    try await onThread {
      let store = try TestStore()
      let load = try Load(store, writers: 3, every: 8)
      let watcher = try Watcher(store)
      var standby: ChildProcess?
      for round in 0..<16 {
        let leader = try standby ?? store.startApplier("\(round)")
        standby = round % 4 == 1 ? try store.startApplier("standby \(round)") : nil
        if round % 2 == 0 {
          // In its work.
          let before = try store.present().extent.txid
          try wait("progress in round \(round)") { try store.present().extent.txid > before }
          pause(0...120)
        } else {
          // Anywhere between start, claim and work.
          pause(700...1400)
        }
        try leader.kill9()
      }
      let last = try standby ?? store.startApplier("last")
      try load.finish()
      try watcher.finish()
      last.send(SIGTERM)
      #expect(try last.end().code == 0)
    }
  }

  @Test(
    "Paused past its lease and continued, it steps back; when the other is killed it leads again")
  func paused() async throws {
    try await onThread {
      let store = try TestStore()
      let load = try Load(store, writers: 2, every: 5)
      let watcher = try Watcher(store)
      var leader = (name: "a", process: try store.startApplier("a", ttl: 3))
      try wait("a leads") { try store.holder() == "a" }
      var other = (name: "b", process: try store.startApplier("b", ttl: 3))
      for _ in 0..<3 {
        pause(300...420)
        leader.process.send(SIGSTOP)
        try wait("\(other.name) leads") { try store.holder() == other.name }
        let taken = try store.present().extent.txid
        try wait("\(other.name) applies") {
          try store.present().extent.txid > taken.advanced(by: 20)
        }
        let inherited = try store.spans(of: leader.name)
        leader.process.send(SIGCONT)
        pause(500)
        #expect(leader.process.isRunning)
        #expect(try store.holder() == other.name)
        // It got nothing more into the history.
        #expect(try store.spans(of: leader.name) == inherited)
        (leader, other) = (other, leader)
      }
      try leader.process.kill9()
      try wait("\(other.name) leads") { try store.holder() == other.name }
      try load.finish()
      try watcher.finish()
      other.process.send(SIGTERM)
      let end = try other.process.end()
      #expect(end.code == 0)
      #expect(end.errors.contains("no longer leading"))
    }
  }

  @Test("SIGTERM under load: the next one goes on at once")
  func terminated() async throws {
    try await onThread {
      let store = try TestStore()
      let load = try Load(store, writers: 3, every: 5)
      let watcher = try Watcher(store)
      var leader = try store.startApplier("0", ttl: 30)
      try wait("0 leads") { try store.holder() == "0" }
      var times: [Duration] = []
      for round in 1...4 {
        let next = try store.startApplier("\(round)", ttl: 30)
        try wait("a standby") { try next.errorsSoFar().contains("standing by") }
        pause(100...300)
        let segment = try store.present().segment
        let began = SystemClock().elapsed()
        leader.send(SIGTERM)
        let end = try leader.end()
        #expect(end.code == 0, "\(end.errors)")
        #expect(try segment.control().beacon?.state == .released)
        let last = try #require(try segment.control().beacon?.extent.txid)
        try wait("\(round) goes on") {
          let present = try store.present()
          return present.segment.header.holder == "\(round)" && present.extent.txid > last
        }
        let took = SystemClock().elapsed() - began
        print("from SIGTERM until the next one applies: \(took)")
        // Nobody waits for a lease.
        #expect(took < .seconds(10))
        times.append(took)
        leader = next
      }
      // Nor for the next look of a standby, which may be two seconds away; on a busy machine one of them shows it.
      #expect(try #require(times.min()) < .seconds(1), "\(times)")
      try load.finish()
      try watcher.finish()
    }
  }
}

extension TestStore {
  func holder() throws -> String { try present().segment.header.holder }

  /// Which segments of an applier are in the history, and how much of each.
  fileprivate func spans(of holder: String) throws -> [UInt64: Int64] {
    let log = try log()
    var spans: [UInt64: Int64] = [:]
    for span in try log.history(after: .zero, upTo: try log.present())
    where span.segment.header.holder == holder {
      spans[span.segment.number] = span.end
    }
    return spans
  }
}
