public import Logging

/// Hands each message that is logged to a closure, with what it says of it, sorted by name.
public struct WritingLogHandler: LogHandler {
  private let write: @Sendable (String) -> Void
  public var metadata: Logger.Metadata = [:]
  public var logLevel = Logger.Level.debug

  public init(_ write: @escaping @Sendable (String) -> Void) { self.write = write }

  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  public func log(event: LogEvent) {
    let parts = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }
    write("\(event.message)\(parts.joined())")
  }
}
