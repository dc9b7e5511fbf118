import ArgumentParser
import Glibc
import SluiceJournal
import SluiceShared
import Testing

@testable import sluice

@Suite("What is kept of the past is said, and so is what is gone")
struct RetentionCommandTests {
  @Test("Times with their units")
  func durations() {
    for (text, seconds) in [
      ("2s", 2), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("36500d", 3_153_600_000),
    ] as [(String, Int64)] {
      #expect(KeepDuration(argument: text)?.duration == .seconds(seconds), "\(text)")
      let written = KeepDuration(milliseconds: UInt64(seconds) * 1000).description
      #expect(written == text)
    }
    #expect(KeepDuration(argument: "forever")?.duration == .some(nil))
    for text in ["", "d", "7", "0d", "-1d", "1.5h", "7 d", "36501d", "99999999999999999999s", "1w"]
    {
      #expect(KeepDuration(argument: text) == nil, "\(text)")
    }
  }

  @Test("Bytes with theirs")
  func bytes() {
    for (text, bytes) in [
      ("1", 1), ("5K", 5 << 10), ("500M", 500 << 20), ("20G", 20 << 30), ("3T", 3 << 40),
    ] as [(String, Int64)] {
      #expect(ByteCount(argument: text)?.bytes == bytes, "\(text)")
    }
    for text in ["", "M", "0", "-1G", "1.5G", "9999999999T", "1g", "1GB"] {
      #expect(ByteCount(argument: text) == nil, "\(text)")
    }
  }

  @Test("Fewer than two checkpoints are refused")
  func tooFew() throws {
    let place = try Workplace()
    try place.make(applying: false)
    let result = try sluice(["apply", place.store, "--drain", "--keep-checkpoints", "1"])
    #expect(result.code == 64 && result.errors.contains("--keep-checkpoints is 2 at least"))
  }

  /// Batches 1 to 6, a term and a checkpoint each, of which little is kept; returns the last status.
  private func worked(_ place: Workplace) throws -> JSON {
    for i in 1...6 {
      try place.submit(
        i == 1 ? "CREATE TABLE t(a)" : "INSERT INTO t VALUES(\(i))", "--wait", "durable")
      try #require(try sluice(["apply", place.store, "--drain", "--keep", "forever"]).code == 0)
      try #require(try sluice(["checkpoint", place.store]).code == 0)
    }
    let before = try place.status()
    #expect(before["kept"]?["txid"]?.integer == 0)
    #expect(before["kept"]?["keep"]?.string == "forever")
    #expect(before["kept"]?["checkpoints"]?.integer == 7)
    #expect(before["kept"]?["next"] == nil)
    // What `init` made is of no commit, and so of no time.
    #expect(before["kept"]?["time"] == nil)
    // Older than a second, and without an hour for readers.
    usleep(2_500_000)
    for _ in 0..<2 {
      let result = try sluice([
        "apply", place.store, "--drain", "--keep", "1s", "--keep-bytes", "5G", "--keep-checkpoints",
        "2", "--keep-for-readers", "1s",
      ])
      try #require(result.code == 0, "\(result.errors)")
      usleep(1_500_000)
    }
    return try place.status()
  }

  @Test("Where bytes are limited, status says after how many more the oldest go")
  func nextByBytes() throws {
    let place = try Workplace()
    try place.make(applying: false)
    let first = try sluice(["status", place.store]).lines.first { $0.hasPrefix("kept") }
    #expect(
      first?.hasPrefix("kept         all from the beginning on, ") == true
        && first?.contains(" bytes, 1 checkpoint;") == true)
    for i in 1...3 {
      try place.submit(
        i == 1 ? "CREATE TABLE t(a)" : "INSERT INTO t VALUES(\(i))", "--wait", "durable")
      try #require(
        try sluice(["apply", place.store, "--drain", "--keep", "forever", "--keep-bytes", "1G"])
          .code == 0)
      try #require(try sluice(["checkpoint", place.store]).code == 0)
    }
    let kept = try #require(try place.status()["kept"])
    // All is kept since batch 0; next goes what is before the checkpoint of batch 1.
    #expect(kept["txid"]?.integer == 0 && kept["next"]?["txid"]?.integer == 1)
    #expect(kept["next"]?["at"] == nil)
    let bytes = try #require(kept["bytes"]?.integer)
    #expect(kept["next"]?["afterBytes"]?.integer == (1 << 30) - bytes)
    #expect(
      try sluice(["status", place.store]).output.contains("; from batch 1 on after "))
    #expect(
      try kept["next"]?["bytes"]?.integer == checkpointBytes(0, place) + logBytes(1...2, place))
  }

  private func checkpointBytes(_ txid: UInt64, _ place: Workplace) throws -> Int64 {
    let layout = StoreLayout(place.store)
    return try [layout.database(of: TxID(txid)), layout.sidecar(of: TxID(txid))]
      .reduce(0) { $0 + (try PosixFileSystem().status($1).size) }
  }

  /// Up to what is published in each.
  private func logBytes(_ numbers: ClosedRange<UInt64>, _ place: Workplace) throws -> Int64 {
    let store = try StoreHandle(at: StoreLayout(place.store), .posix())
    let places = try LogPlaces(of: store, upTo: numbers.upperBound)
    return try numbers.reduce(0) { $0 + (try places.usedBytes($1)) }
  }

  /// When a checkpoint was made, and an hour more.
  private func anHour(behind txid: UInt64, _ place: Workplace) throws -> String {
    let name = StoreLayout.checkpointName(TxID(txid))
    let status = try PosixFileSystem().status("\(place.store)/checkpoints/\(name)")
    return timestamp(status.modified_ms + 3_600_000)
  }

  /// Each batch in a term of its own, with a checkpoint; `init` made one before them.
  private func checkpointed(_ batches: ClosedRange<Int>, _ place: Workplace, _ options: String...)
    throws
  {
    for i in batches {
      try place.submit(
        i == 1 ? "CREATE TABLE t(a)" : "INSERT INTO t VALUES(\(i))", "--wait", "durable")
      try #require(try sluice(["apply", place.store, "--drain"] + options).code == 0)
      try #require(try sluice(["checkpoint", place.store]).code == 0)
    }
  }

  @Test("Where time is limited, status says when the oldest go, and what is read from then on")
  func nextByTime() throws {
    let place = try Workplace()
    try place.make(applying: false)
    try checkpointed(1...1, place, "--keep", "1h")
    // The newest two stay, however old.
    #expect(try place.status()["kept"]?["next"] == nil)
    try checkpointed(2...2, place, "--keep", "1h")
    let kept = try #require(try place.status()["kept"])
    #expect(kept["txid"]?.integer == 0 && kept["checkpoints"]?.integer == 3)
    let time = try anHour(behind: 1, place)
    #expect(kept["next"]?["txid"]?.integer == 1 && kept["next"]?["at"]?.string == time)
    #expect(kept["next"]?["afterBytes"] == nil && kept["thinned"] == nil)
    let bytes = try checkpointBytes(0, place) + logBytes(1...2, place)
    #expect(kept["next"]?["bytes"]?.integer == bytes)
    let text = "; from batch 1 on at \(time), which frees \(bytes) bytes\n"
    #expect(try sluice(["status", place.store]).output.contains(text))
  }

  @Test("Where checkpoints are more than are kept, status says which go, and looks behind that")
  func thinned() throws {
    let place = try Workplace()
    try place.make(applying: false)
    // They stay for an hour, for readers that are behind.
    try checkpointed(1...3, place, "--keep", "1h", "--keep-checkpoints", "2")
    let kept = try #require(try place.status()["kept"])
    #expect(kept["checkpoints"]?.integer == 4 && kept["txid"]?.integer == 0)
    #expect(kept["thinned"] == .array([.integer(1)]))
    let time = try anHour(behind: 2, place)
    #expect(kept["next"]?["txid"]?.integer == 2 && kept["next"]?["at"]?.string == time)
    let bytes = try checkpointBytes(0, place) + logBytes(1...3, place)
    let thinned = try checkpointBytes(1, place)
    #expect(kept["next"]?["bytes"]?.integer == bytes)
    #expect(kept["thinnedBytes"]?.integer == thinned)
    #expect(
      try sluice(["status", place.store]).output.contains(
        "; from batch 2 on at \(time), which frees \(bytes) bytes; checkpoint 1 goes, being one too many, \(thinned) bytes\n"
      ))
  }

  @Test("In status, in what a feed says, and by an error of its own")
  func gone() throws {
    let place = try Workplace()
    try place.make(applying: false)
    let status = try worked(place)
    let kept = try #require(status["kept"])
    #expect(kept["txid"]?.integer == 5)
    #expect(kept["time"]?.string?.hasPrefix("20") == true)
    #expect(kept["checkpoints"]?.integer == 2)
    #expect(kept["keep"]?.string == "1s")
    #expect(kept["keepBytes"]?.integer == 5 << 30)
    #expect(kept["keepCheckpoints"]?.integer == 2)
    #expect(status["log"]?["oldestTxid"]?.integer == 6)
    let text = try sluice(["status", place.store]).output
    #expect(text.contains("\nkept         from batch 5 on, of 20"))
    #expect(text.contains("; the applier keeps 1s, 5368709120 bytes, 2 checkpoints at most"))

    for arguments in [[], ["--from", "2"]] {
      let first = arguments.isEmpty ? 1 : 2
      let log = try sluice(["log", place.store, "--json"] + arguments)
      #expect(log.code == 0)
      let lines = try log.json()
      #expect(lines.count == 2)
      #expect(lines.first?["gone"]?["from"]?.integer == Int64(first))
      #expect(lines.first?["gone"]?["to"]?.integer == 5)
      #expect(lines.last?["txid"]?.integer == 6)
      #expect(log.errors.contains("batches \(first) to 5, the last of 20"))
      #expect(log.errors.contains("are not kept any more"))
      let plain = try sluice(["log", place.store] + arguments)
      #expect(plain.lines.count == 1 && plain.lines[0].hasPrefix("6  "))
    }
    for arguments in [
      ["query", place.store, "SELECT 1", "--txid", "3"],
      ["restore", place.store, "--into", "\(place.path)/copy", "--txid", "3"],
      ["outcome", place.store, "--txid", "3"],
    ] {
      let result = try sluice(arguments)
      #expect(result.code == 66, "\(arguments)")
      #expect(result.errors.contains("not kept any more"), "\(result.errors)")
    }
    #expect(try place.query("SELECT count(*) FROM t", "--txid", "5").output.contains("4"))
    let verified = try sluice(["verify", place.store, "--replay"])
    #expect(verified.code == 0, "\(verified.output)\(verified.errors)")
    #expect(try sluice(["replay", place.store, "--into", "\(place.path)/again"]).code == 0)
  }
}
