import Foundation
import Testing

@Suite("What takes long says on a terminal how far it is, and nowhere else")
struct ProgressTests {
  private let place: Workplace

  /// Some megabytes, in several commits.
  init() throws {
    place = try Workplace()
    try place.make(applying: false)
    _ = try place.submit("CREATE TABLE t(a)", "--wait", "durable")
    for _ in 0..<8 {
      _ = try place.submit("INSERT INTO t VALUES (randomblob(1000000))", "--wait", "durable")
      #expect(try sluice(["apply", place.store, "--drain"]).code == 0)
    }
  }

  private func hasEnded(_ process: ChildProcess) -> Bool {
    var information = siginfo_t()
    let code = waitid(P_PID, id_t(process.id), &information, WEXITED | WNOHANG | WNOWAIT)
    return code != 0 || information.si_signo != 0
  }

  /// Lets it run for short times only, between which more time passes than between two lines.
  private func crawl(_ process: ChildProcess, while goesOn: () -> Bool) {
    while !hasEnded(process), goesOn() {
      usleep(20_000)
      process.send(SIGSTOP)
      usleep(300_000)
      process.send(SIGCONT)
    }
  }

  private func start(_ command: String, _ path: String, errors: Int32? = nil) throws
    -> ChildProcess
  {
    try ChildProcess(
      program, [command, place.store, "--into", path], errors: errors, reports: true)
  }

  @Test(arguments: [("restore", "restoring"), ("replay", "replaying"), ("backup", "backing up")])
  func rateAndTimeLeft(_ command: String, _ word: String) throws {
    let terminal = try Terminal()
    var text = ""
    // A machine that does the whole of it between two looks gets another chance.
    for attempt in 0..<20 where text.isEmpty {
      let path = "\(place.path)/\(attempt).sqlite"
      let process = try start(command, path, errors: terminal.program())
      crawl(process) {
        text += terminal.text()
        return text.isEmpty
      }
      let result = try process.result()
      text += terminal.text()
      #expect(result.code == 0 && result.output.hasPrefix("9 \(path)"), "\(result) \(text)")
    }
    // Each is written over the one before, and the last one is taken away.
    var lines = text.components(separatedBy: "\r\u{1B}[K")
    #expect(lines.count >= 3 && lines.first == "" && lines.last == "", "\(text)")
    lines = lines.dropFirst().dropLast()
    var last = 0
    for line in lines {
      let parts = try #require(
        line.wholeMatch(of: #/([\w ]+) (\d+) %, (\d+) MB/s, (\d+) s left/#), "\(line)")
      let percent = try #require(Int(parts.2))
      #expect(parts.1 == word && percent >= last && percent <= 100, "\(line)")
      last = percent
    }
  }

  @Test(arguments: ["restore", "replay", "backup"])
  func nothingInAFile(_ command: String) throws {
    let path = "\(place.path)/made.sqlite"
    let process = try start(command, path)
    crawl(process) { true }
    let result = try process.result()
    #expect(result.code == 0 && result.output.hasPrefix("9 \(path)"), "\(result)")
    #expect(result.errors == "")
  }
}
