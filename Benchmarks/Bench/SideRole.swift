import ArgumentParser
import BenchmarkSupport
import Glibc
import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared

/// One side of a row, in a process of its own: neither side has the other's heap, and what both read or write is in
/// nobody's memory but the system's. It prints how many nanoseconds the work took, without the process's start.
struct SideRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "side", shouldDisplay: false)

  enum Side: String, ExpressibleByArgument {
    case apply, replay, restore, checkpoint, copy
  }

  @Argument var side: Side
  /// A store; of a copy, a file.
  @Argument var source: String
  @Argument var target: String

  func run() throws {
    print(try nanoseconds { try work() })
  }

  private func work() throws {
    let environment = Environment.posix()
    switch side {
    case .apply:
      try Applier(path: source, options: quietOptions(drains: true)).run(shouldStop: { false })
    case .replay:
      let history = try RecordedHistory(store: source, environment)
      _ = try Replay.run(history, into: target)
    case .restore:
      let snapshot = try PageStore(path: source, environment: environment).snapshot(.latest)
      try Restoration.write(snapshot, to: target, environment)
    case .checkpoint:
      let pages = try PageStore(path: source, environment: environment)
      try Checkpoint(of: pages.handle)
        .make(of: pages.published(.latest))
    case .copy: try copyFile(source, to: target)
    }
  }
}

/// Nanoseconds that a side says it took. Nothing that was written before is left to be written.
func time(
  _ side: SideRole.Side, _ source: String, to target: String = "", _ work: WorkDirectory
) throws -> Double {
  let output = work["\(side.rawValue).out"]
  unlink(output)
  sync()
  try ChildProcess(
    side.rawValue, try ownExecutable(), ["side", side.rawValue, source, target], output: output,
    log: work["\(side.rawValue).log"]
  ).expectSuccess(atMost: .seconds(600))
  guard let time = try readLines(output).first.flatMap({ Double($0) }) else {
    throw RunError("\(side.rawValue) did not say how long it took")
  }
  return time
}

/// As `cp` does, and durable.
private func copyFile(_ path: String, to copy: String) throws(RunError) {
  let source = open(path, O_RDONLY | O_CLOEXEC)
  let target = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
  defer { for descriptor in [source, target] { close(descriptor) } }
  let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
  defer { buffer.deallocate() }
  while true {
    let count = read(source, buffer.baseAddress, buffer.count)
    guard count >= 0 else { break }
    if count == 0, fsync(target) == 0 { return }
    guard count > 0, write(target, buffer.baseAddress, count) == count else { break }
  }
  throw RunError("\(path) cannot be copied: \(String(cString: strerror(errno)))")
}
