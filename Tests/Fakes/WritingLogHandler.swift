package import Logging

/// Hands each message that is logged to a closure, with what it says of it, sorted by name.
package struct WritingLogHandler: LogHandler {
  private let write: @Sendable (String) -> Void
  package var metadata: Logger.Metadata = [:]
  package var logLevel = Logger.Level.debug

  package init(_ write: @escaping @Sendable (String) -> Void) { self.write = write }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  package func log(event: LogEvent) {
    let parts = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
    write("\(event.message)\(parts.joined())")
  }
}
