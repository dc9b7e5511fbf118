import Glibc
import SluiceJournal
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@testable import sluice

@Suite(
  "What can be read of a quarantined segment and has no outcome is submitted again, and applied once"
)
struct ResubmitSegmentTests {
  let place: Workplace

  init() throws {
    place = try Workplace()
    try place.make(applying: false)
    try place.submit("CREATE TABLE t(a)", "--wait", "durable")
    try drain()
  }

  private var layout: StoreLayout { StoreLayout(place.store) }
  private var fileSystem: PosixFileSystem { PosixFileSystem() }

  private func drain() throws {
    let result = try sluice(["apply", place.store, "--drain"])
    try #require([0, 76].contains(result.code), "\(result.errors)")
  }

  private var rows: [String] {
    get throws { Array(try place.query("SELECT a FROM t", "--csv").lines.dropFirst()) }
  }

  private func batch(_ i: Int, key: String? = nil) throws -> [UInt8] {
    try Batch([.init("INSERT INTO t VALUES(?)", [.integer(Int64(i))])], key: key).encoded()
  }

  /// A byte of the second frame's content is changed, which is one batch in one block.
  private func damage(_ path: String, frame: Int64 = 1) throws {
    let place = Block.firstJournalFrame + frame * Int64(Block.size) + 100
    let file = try fileSystem.open(path, .write)
    try file.write([try file.read(1, at: place)[0] ^ 1], at: place)
  }

  /// As an applier does behind a minute of silence, but for the name in the journal.
  private func putIntoQuarantine(_ name: String) throws {
    try fileSystem.link("\(layout.journal)/\(name)", to: "\(layout.quarantine)/\(name)")
  }

  /// Frames of a writer's first segment, the second damaged before it was read; put into quarantine.
  private func quarantined(
    _ frames: [[[UInt8]]], leavesJournal: Bool = true,
    _ more: (JournalWriter) throws -> Void = { _ in }
  ) throws -> String {
    let journal = JournalWriter(to: try StoreHandle(at: layout, .posix()))
    for (i, frame) in frames.enumerated() { try journal.flush(frame, ends: i == frames.count - 1) }
    let name = StoreLayout.journalName(
      JournalSegmentID(writer: try #require(journal.writer), number: 1))
    try damage("\(layout.journal)/\(name)")
    try putIntoQuarantine(name)
    try drain()
    if leavesJournal { try fileSystem.unlink("\(layout.journal)/\(name)") }
    try more(journal)
    return name
  }

  private func resubmit(_ name: String, _ arguments: String...) throws -> ChildProcess.Result {
    try sluice(["resubmit", place.store, name, "--wait", "durable"] + arguments)
  }

  @Test("With and without keys, in their order, once however often the command is run")
  func once() throws {
    let name = try quarantined([
      [try batch(1, key: "k1")], [try batch(2)], [try batch(3, key: "k3"), try batch(4)],
      [try batch(5)],
    ])
    #expect(try rows == ["1"])
    let first = try resubmit(name, "--writer-ended")
    #expect(first.code == 0, "\(first.errors)")
    #expect(first.lines.count == 5, "\(first.output)")
    #expect(
      first.lines[0]
        == "\(name): 1 of its batches are in the history, 0 were submitted again before, 3 are submitted again now"
    )
    let path = "\(layout.quarantine)/\(name)"
    #expect(first.lines[1] == "batch 2: not submitted, damaged (\(path) at byte 12288)")
    #expect(first.lines[2...] == ["batch 3: durable", "batch 4: durable", "batch 5: durable"])
    // Nobody knows yet what became of these.
    #expect(try resubmit(name, "--writer-ended").lines.count == 5)
    try drain()
    #expect(try rows == ["1", "3", "4", "5"])
    let third = try resubmit(name, "--json").json()
    #expect(third.count == 2)
    #expect(third[0]["executed"]?.integer == 1 && third[0]["submittedAgain"]?.integer == 3)
    #expect(third[0]["toSubmit"]?.integer == 0 && third[0]["segment"]?.string == name)
    #expect(third[1]["sequence"]?.integer == 2 && third[1]["status"]?.string == "damaged")
    #expect(third[1]["offset"]?.integer == 12288 && third[1]["path"]?.string == path)
    let list = try sluice(["rejected", place.store])
    #expect(
      list.lines == [
        "\(name): 1 of its batches are in the history, 0 whole ones are not; 3 were submitted again since"
      ])
    // It is there until it is discarded.
    #expect(try sluice(["discard", place.store, name]).code == 0)
    #expect(try resubmit(name).code == 66)
  }

  @Test("What its owner has submitted under its key meanwhile is not executed again")
  func underItsKey() throws {
    let name = try quarantined([[try batch(1)], [try batch(2)], [try batch(3, key: "k3")]])
    try place.submit("INSERT INTO t VALUES(?)", "3", "--id", "k3", "--wait", "durable")
    try drain()
    let result = try resubmit(name, "--json").json()
    #expect(result[0]["submittedAgain"]?.integer == 1 && result[0]["toSubmit"]?.integer == 0)
    #expect(try rows == ["1", "3"])
  }

  @Test("What its writer may write again waits, and what is in the journal, too")
  func mayCome() throws {
    let frames = [
      [try batch(1)], [try batch(2)], [try batch(3)], [try batch(4), try batch(5, key: "k")],
    ]
    let name = try quarantined(frames, leavesJournal: false)
    let inJournal = try resubmit(name, "--writer-ended")
    #expect(inJournal.code == 75 && inJournal.errors.contains("may be, too"), "\(inJournal.errors)")
    try fileSystem.unlink("\(layout.journal)/\(name)")
    let waits = try resubmit(name)
    #expect(waits.code == 75 && waits.errors.contains("--writer-ended"), "\(waits.errors)")
    let path = "\(layout.quarantine)/\(name)"
    for i in 4...5 {
      let line = "batch \(i): not submitted, its writer may write it again (\(path) at byte 20480)"
      #expect(waits.lines.contains(line), "\(waits.output)")
    }
    #expect(waits.lines.last == "batch 3: durable")
    try drain()
    #expect(try rows == ["1", "3"])
    #expect(try resubmit(name, "--writer-ended").code == 0)
    try drain()
    #expect(try rows == ["1", "3", "4", "5"])
  }

  @Test(
    "What its writer has gone on behind is executed no more, and submitted, though the writer lives"
  )
  func passed() throws {
    let name = try quarantined([[try batch(1)], [try batch(2)], [try batch(3)]]) { journal in
      try journal.flush([try batch(4)])
    }
    try drain()
    #expect(try rows == ["1", "4"])
    // The writer's last number does not say that it was executed.
    let list = try sluice(["rejected", place.store])
    #expect(list.lines.last == "  not executed: batch 3  INSERT INTO t VALUES(?)", "\(list.output)")
    #expect(try !fileSystem.list(layout.journal).filter { $0.hasSuffix(".seg") }.isEmpty)
    #expect(try resubmit(name).code == 0)
    try drain()
    #expect(try rows == ["1", "4", "3"])
  }

  @Test("Interactive transactions are named, and what nobody can tell the end of, too")
  func left() throws {
    let name = try quarantined([
      [try batch(1)], [try batch(2)], [try Batch(.requestTurn).encoded()], [try batch(4)],
      [[1, 2, 3]],
      [try batch(6)],
    ])
    try damage("\(layout.quarantine)/\(name)", frame: 5)
    let result = try resubmit(name)
    #expect(result.code == 0, "\(result.errors)")
    let path = "\(layout.quarantine)/\(name)"
    #expect(
      result.lines[1...] == [
        "batch 2: not submitted, damaged (\(path) at byte 12288)",
        "batch 3: not submitted, of an interactive transaction, whose base is old; run it anew (\(path) at byte 16384)",
        "batch 5: not submitted, cannot be decoded (\(path) at byte 24576)",
        "batches from 6 on, if there were any: not submitted, damaged (\(path) at byte 28672)",
        "batch 4: durable",
      ], "\(result.output)")
    try drain()
    #expect(try rows == ["1", "4"])
  }

  @Test("Where the log does not go back far enough nobody can tell, and nothing is submitted")
  func tooOld() throws {
    let name = try quarantined([[try batch(1)], [try batch(2)], [try batch(3, key: "k3")]])
    for _ in 0..<3 {
      try place.submit("INSERT INTO t VALUES(0)", "--wait", "durable")
      try drain()
      try #require(try sluice(["checkpoint", place.store]).code == 0)
    }
    usleep(2_500_000)
    for _ in 0..<2 {
      let arguments = ["--keep", "1s", "--keep-checkpoints", "2", "--keep-for-readers", "1s"]
      _ = try sluice(["apply", place.store, "--drain"] + arguments)
      usleep(1_500_000)
    }
    let result = try resubmit(name)
    #expect(result.code == 66 && result.errors.contains("does not go back"), "\(result.errors)")
    #expect(result.output == "")
    let list = try sluice(["rejected", place.store])
    #expect(list.output.contains("some of these may have been executed"), "\(list.output)")
  }

  @Test("What cannot be meant is refused, and so is a segment without a header")
  func refusals() throws {
    let name = try quarantined([[try batch(1)], [try batch(2)], [try batch(3)]])
    for (arguments, code, what) in [
      ([name, "--id", "k"], 64, "have keys of their own"), (["2"], 64, "--id KEY"),
      (["2", "--id", "k", "--writer-ended"], 64, "goes with a segment"),
      (["\(name)x"], 64, "neither a TxID nor"),
      ([name.replacing(".00000001.", with: ".00000002.")], 66, "no such segment in quarantine"),
    ] as [([String], Int32, String)] {
      let result = try sluice(["resubmit", place.store] + arguments)
      #expect(result.code == code && result.errors.contains(what), "\(result.errors)")
    }
    let file = try fileSystem.open("\(layout.quarantine)/\(name)", .write)
    try file.write([0], at: Block.header)
    let result = try resubmit(name)
    #expect(
      result.code == 76 && result.errors.contains("its header is damaged"), "\(result.errors)")
  }
}
