import Glibc
import Logging
import SluiceJournal
import SluiceShared

/// Writes each event as one line to standard error, whatever its message holds:
///
///     2026-11-22T10:00:00.123Z info applier: message key=value
///     {"time": "2026-11-22T10:00:00.123Z", "level": "info", "label": "applier", "message": "…", "metadata": {…}}
struct LineLogHandler: LogHandler {
  enum Format: String, CaseIterable { case text, json }

  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]
  var metadataProvider: Logger.MetadataProvider?

  private let label: String
  private let format: Format
  private let clock: any Clock
  private let write: @Sendable (String) -> Void

  init(
    label: String, level: Logger.Level, format: Format, clock: any Clock = SystemClock(),
    write: @escaping @Sendable (String) -> Void = writeToStandardError
  ) {
    self.label = label
    logLevel = level
    self.format = format
    self.clock = clock
    self.write = write
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var fields = metadata
    if let provided = metadataProvider?.get() { fields.merge(provided) { $1 } }
    if let own = event.metadata { fields.merge(own) { $1 } }
    if let error = event.error { fields["error"] = "\(error)" }
    let time = timestamp(clock.wallTime_ms())
    switch format {
    case .text: write(textLine(time, event, fields))
    case .json: write(jsonLine(time, event, fields))
    }
  }

  private func textLine(_ time: String, _ event: LogEvent, _ fields: Logger.Metadata) -> String {
    var line = "\(time) \(event.level) \(label): "
    line += event.message.description.printable
    for (name, value) in fields.sorted(by: { $0.key < $1.key }) {
      line += " \(name)="
      let text = value.description
      if text.isEmpty || text.unicodeScalars.contains(where: LineLogHandler.needsQuotes) {
        JSON.append(quoting: text, to: &line)
      } else {
        line += text
      }
    }
    return line + "\n"
  }

  private func jsonLine(_ time: String, _ event: LogEvent, _ fields: Logger.Metadata) -> String {
    var line = "{\"time\": \"\(time)\", \"level\": \"\(event.level)\", \"label\": "
    JSON.append(quoting: label, to: &line)
    line += ", \"message\": "
    JSON.append(quoting: event.message.description, to: &line)
    if !fields.isEmpty {
      line += ", \"metadata\": "
      LineLogHandler.append(.dictionary(fields), to: &line)
    }
    return line + "}\n"
  }

  private static func append(_ value: Logger.MetadataValue, to line: inout String) {
    switch value {
    case .dictionary(let members):
      line += "{"
      for (i, (name, member)) in members.sorted(by: { $0.key < $1.key }).enumerated() {
        if i > 0 { line += ", " }
        JSON.append(quoting: name, to: &line)
        line += ": "
        append(member, to: &line)
      }
      line += "}"
    case .array(let elements):
      line += "["
      for (i, element) in elements.enumerated() {
        if i > 0 { line += ", " }
        append(element, to: &line)
      }
      line += "]"
    case .string, .stringConvertible: JSON.append(quoting: value.description, to: &line)
    }
  }

  private static func needsQuotes(_ scalar: UnicodeScalar) -> Bool {
    scalar.value <= 0x20 || scalar == "\"" || scalar == "="
  }
}

/// One `write` a line, so that lines of several processes do not mix (up to PIPE_BUF). A line that
/// cannot be written is lost: there is nowhere left to say so.
@Sendable private func writeToStandardError(_ line: String) {
  var rest = Array(line.utf8)[...]
  while !rest.isEmpty {
    let count = rest.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    if count < 0, errno != EINTR { return }
    rest = rest.dropFirst(max(0, count))
  }
}
