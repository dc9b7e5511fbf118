// Public, because the conformance below joins a public type and a public protocol.
public import ArgumentParser
public import Logging

/// What is logged to standard error, and how.
struct LogOptions: ParsableArguments {
  @Option(help: "Log events of this level and above.")
  var logLevel: Logger.Level = .info

  @Option(help: "Log as lines of text or as JSON, an object a line.")
  var logFormat: LineLogHandler.Format = .text

  func logger(_ label: String) -> Logger {
    Logger(label: label) { label in
      LineLogHandler(label: label, level: logLevel, format: logFormat)
    }
  }
}

extension LogOptions {
  /// For a command that has something else to do than to log.
  static func warnings(_ label: String) -> Logger {
    Logger(label: label) { LineLogHandler(label: $0, level: .warning, format: .text) }
  }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
extension LineLogHandler.Format: ExpressibleByArgument {}
