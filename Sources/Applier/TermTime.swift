internal import SluiceJournal
internal import SluiceShared

/// The time of one term's commits: this host's clock at the term's beginning, advanced by boot time.
///
/// What a commit says of its time is when its writers were last heard, and writers go by the dates of
/// their files. So it is held against the file server's clock, in both directions: who is ahead of it
/// forgets nobody, and a term that falls behind it, as where the clocks of a virtual machine stood still
/// with it, ends.
struct TermTime {
  /// What the time of commits and that of the file server may differ by.
  static let tolerance = Duration.seconds(3600)
  private static let tolerance_ms = tolerance.wholeMilliseconds

  private let clock: any Clock
  private let server: ServerClock
  private let wallAtStart_ms: Int64
  private let bootAtStart: Duration

  /// Begins now, and not before the last commit's time.
  init(_ holder: LogHolder, _ environment: Environment) {
    clock = environment.clock
    server = ServerClock(path: holder.file.path, environment: environment)
    wallAtStart_ms = max(clock.wallTime_ms(), holder.extent.time_ms)
    bootAtStart = clock.elapsed()
  }

  /// 'now' for the commit behind one of the time `last_ms`, and never before that.
  func commit_ms(after last_ms: Int64) -> Int64 {
    max(last_ms, wallAtStart_ms + (clock.elapsed() - bootAtStart).wholeMilliseconds)
  }

  /// The file server's time; nil where it could not be asked.
  func serverTime_ms() -> Int64? { try? server.time_ms() }

  enum Comparison: Equatable {
    case agrees
    case isAhead(server_ms: Int64)
    /// The file server could not be asked.
    case unknown
  }

  /// Holds the time of a commit to come against the file server's clock.
  func compare(_ time_ms: Int64) -> Comparison {
    guard let server_ms = try? server.time_ms() else { return .unknown }
    return time_ms <= server_ms + Self.tolerance_ms ? .agrees : .isAhead(server_ms: server_ms)
  }

  /// Whether a commit behind one of the time `last_ms` would be far behind a file of the date `file_ms`.
  /// What a file's date says is held against the file server's clock, since anybody can date a file;
  /// where that cannot be asked, it is believed.
  func isBehind(_ file_ms: Int64, after last_ms: Int64) -> Bool {
    guard file_ms > commit_ms(after: last_ms) + Self.tolerance_ms else { return false }
    guard let server_ms = try? server.time_ms() else { return true }
    return server_ms > commit_ms(after: last_ms) + Self.tolerance_ms
  }
}

/// The file server's clock, read from the date of a temporary file that is made for it, beside `path`.
private struct ServerClock {
  let path: String
  let environment: Environment

  /// The date of a file that is given its length now.
  func time_ms() throws(StoreError) -> Int64 {
    let fileSystem = environment.fileSystem
    while true {
      let temporary = StoreLayout.temporaryName(path, environment.random())
      defer { try? fileSystem.unlink(temporary) }
      do throws(StoreError) {
        let file = try fileSystem.createUncached(temporary, mode: 0o600)
        try file.resize(to: Int64(Block.size))
        return try file.status().modified_ms
      } catch {
        // The answer to a request sent again: nobody else has this name.
        guard error.isExistingFile else { throw error }
      }
    }
  }
}
