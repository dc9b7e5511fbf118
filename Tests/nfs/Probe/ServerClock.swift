import ArgumentParser
import BenchmarkSupport
import SluiceShared

/// This host's clock, set by the file server's: what was seen and told on several hosts is compared.
struct ServerClock {
  /// How much the server's clock is ahead.
  var ahead_ms: Int64

  func wallTime_ms() -> Int64 { SystemClock().wallTime_ms() + ahead_ms }
}

/// Prints how many milliseconds the server's clock is ahead of this host's, to some 10. To be asked
/// before the host has other things to do.
struct ServerAhead: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "server-ahead")

  @Argument(help: "A file to be made on the server.") var path: String

  /// By a file that is made on the server, some times, and removed; the request that was answered
  /// soonest counts.
  func run() throws {
    let fileSystem = PosixFileSystem()
    let clock = SystemClock()
    var best = (took: Duration.seconds(3600), ahead_ms: Int64(0))
    for attempt in 0..<200 where attempt < 20 || best.took > .milliseconds(20) {
      let file = try fileSystem.create("\(path).\(attempt)", mode: 0o600)
      let began = clock.elapsed()
      let before = clock.wallTime_ms()
      try file.write([1], at: 0)
      try file.sync()
      let ahead_ms = try file.status().modified_ms - (before + clock.wallTime_ms()) / 2
      let took = clock.elapsed() - began
      if took < best.took { best = (took, ahead_ms) }
      try fileSystem.unlink("\(path).\(attempt)")
    }
    guard best.took <= .milliseconds(20) else {
      throw RunError("the server's clock could not be read within 20 ms, the best was \(best.took)")
    }
    print(best.ahead_ms)
  }
}
