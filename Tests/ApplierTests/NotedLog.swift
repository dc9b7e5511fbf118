import Logging
import SluiceFakes
import SluiceShared

/// Keeps what an applier logs.
final class NotedLog: Sendable {
  private let lines = Monitor<[String]>([])

  var text: String { lines.withLock { $0.joined(separator: "\n") } }

  var logger: Logger {
    Logger(label: "test") { [lines] _ in
      WritingLogHandler { line in lines.withLock { $0.append(line) } }
    }
  }
}
