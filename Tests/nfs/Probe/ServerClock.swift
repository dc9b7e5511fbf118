import ArgumentParser
import SluiceShared

/// This host's clock, set by the file server's: what was seen and told on several hosts is compared.
struct ServerClock {
  /// How much the server's clock is ahead.
  let difference_ms: Int64

  /// By a file that is made at `path` on the server, some times, and removed; the request that was
  /// answered soonest counts.
  init(_ path: String) throws {
    let fileSystem = PosixFileSystem()
    let clock = SystemClock()
    var best = (took: UInt64.max, difference: Int64(0))
    for i in 0..<20 {
      let file = try fileSystem.create("\(path).\(i)", mode: 0o600)
      let began = clock.bootTime_ns()
      let before = clock.wallTime_ms()
      try file.write([1], at: 0)
      try file.sync()
      let difference = try file.status().modified_ms - (before + clock.wallTime_ms()) / 2
      let took = clock.bootTime_ns() - began
      if took < best.took { best = (took, difference) }
      try fileSystem.unlink("\(path).\(i)")
    }
    difference_ms = best.difference
  }

  func wallTime_ms() -> Int64 { SystemClock().wallTime_ms() + difference_ms }
}

/// Prints how many milliseconds the server's clock is ahead of this host's.
struct ClockDifference: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "clock")

  @Argument(help: "A file to be made on the server.") var path: String

  func run() throws { print(try ServerClock(path).difference_ms) }
}
