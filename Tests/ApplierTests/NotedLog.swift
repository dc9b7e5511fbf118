import Logging
import SluiceShared

/// Keeps what an applier logs: the message, and what it says of it.
final class NotedLog: Sendable {
  private let lines = Monitor<[String]>([])

  var text: String { lines.withLock { $0.joined(separator: "\n") } }

  var logger: Logger {
    Logger(label: "test") { [lines] _ in
      Handler { line in lines.withLock { $0.append(line) } }
    }
  }

  private struct Handler: LogHandler {
    let write: @Sendable (String) -> Void
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.debug

    init(_ write: @escaping @Sendable (String) -> Void) { self.write = write }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      write("\(event.message) \((event.metadata ?? [:]).values.map { "\($0)" })")
    }
  }
}
