import SluiceSQLite
import SluiceShared
import Testing

@Suite("A time names the last commit that is not later")
struct PointInTimeTests {
  private let place: Workplace
  /// The time of each of the four batches, which are commits of their own.
  private let times: [Int64]

  init() throws {
    place = try Workplace()
    try place.make(applying: false)
    for sql in [
      "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", "INSERT INTO t VALUES (1, random())",
      "INSERT INTO t VALUES (2, datetime('now'))", "UPDATE t SET b = 'new' WHERE a = 1",
    ] {
      #expect(try place.submit(sql, "--wait", "durable").code == 0)
      #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
    }
    times = try sluice(["log", place.store, "--json"]).json()
      .compactMap { $0["time"]?.string.flatMap(milliseconds(ofTimestamp:)) }
    try #require(times.count == 4 && zip(times, times.dropFirst()).allSatisfy { $0 < $1 })
  }

  /// Times to ask for, as they may be written, and the batch that each means.
  private func questions() -> [(time: String, batch: Int)] {
    var questions: [(String, Int)] = []
    for (i, time_ms) in times.enumerated() where i > 0 {
      questions.append((timestamp(time_ms), i + 1))
      questions.append((timestamp(time_ms - 1), i))
      // The same moment on a clock five and a half hours further east.
      let east = timestamp(time_ms + 19_800_000).dropLast() + "+05:30"
      questions.append((String(east), i + 1))
    }
    return questions + [("2199-12-31T23:59:59-08:00", 4)]
  }

  private func rows(_ path: String) throws -> [[SQLValue]] {
    try Connection(path: path, flags: [.readOnly]).query("SELECT * FROM t ORDER BY a")
  }

  /// What the store had as of each batch that made a table.
  private func states() throws -> [Int: [[SQLValue]]] {
    var states: [Int: [[SQLValue]]] = [:]
    for batch in 1...4 {
      let path = "\(place.path)/state-\(batch)"
      let made = try sluice(["restore", place.store, "--into", path, "--txid", "\(batch)"])
      try #require(made.code == 0, "\(made.errors)")
      states[batch] = try rows(path)
    }
    try #require(Set(states.values).count == 4)
    return states
  }

  @Test("To a restore, and to a replay", arguments: ["restore", "replay"])
  func files(_ command: String) throws {
    let states = try states()
    for (i, question) in questions().enumerated() {
      let path = "\(place.path)/\(i).sqlite"
      let made = try sluice([command, place.store, "--into", path, "--at", question.time])
      #expect(
        made.code == 0 && made.output == "\(question.batch) \(path)\n",
        "\(question): \(made.output)\(made.errors)")
      #expect(try rows(path) == states[question.batch], "\(question)")
    }
  }

  @Test("To a query")
  func query() throws {
    let answers = [1: "0,", 2: "1,integer", 3: "2,integer", 4: "2,text"]
    for question in questions() {
      let found = try place.query(
        "SELECT count(*) AS n, (SELECT typeof(b) FROM t WHERE a = 1) AS b FROM t", "--csv", "--at",
        question.time)
      #expect(
        found.code == 0 && found.lines == ["n,b", answers[question.batch]], "\(question)")
    }
  }

  @Test("Before the first batch there is what the store began with")
  func beginning() throws {
    let before = timestamp(times[0] - 1)
    for command in ["restore", "replay"] {
      let path = "\(place.path)/\(command).sqlite"
      let made = try sluice([command, place.store, "--into", path, "--at", before])
      #expect(made.code == 0 && made.output == "0 \(path)\n", "\(made.output)\(made.errors)")
      #expect(throws: SQLiteError.self) { _ = try rows(path) }
    }
  }

  @Test("What is no time is refused, and no file is made", arguments: ["restore", "replay"])
  func refused(_ command: String) throws {
    let path = "\(place.path)/refused.sqlite"
    for time in ["noon", "2026-11-22", "2026-11-22T10:00:00", "2026-02-30T10:00:00Z"] {
      let made = try sluice([command, place.store, "--into", path, "--at", time])
      #expect(made.code == 64 && made.errors.contains("2026-11-22T10:00:00Z"), "\(made.errors)")
    }
    #expect(try !PosixFileSystem().list(place.path).contains("refused.sqlite"))
  }
}
