import ArgumentParser
import Logging
import SluiceJournal
import SluiceShared
import Testing

@testable import sluice

private struct StoppedClock: Clock {
  func wallTime_ms() -> Int64 { 1_795_341_600_123 }
  func bootTime_ns() -> UInt64 { 0 }
  func sleep(_ duration: Duration) {}
}

/// What `body` logs.
private func logged(
  _ format: LineLogHandler.Format, level: Logger.Level = .info, _ body: (inout Logger) -> Void
) -> String {
  final class Lines: Sendable { let text = Monitor("") }
  let lines = Lines()
  var logger = Logger(label: "applier") { label in
    LineLogHandler(label: label, level: level, format: format, clock: StoppedClock()) { line in
      lines.text.withLock { $0 += line }
    }
  }
  body(&logger)
  return lines.text.withLock { $0 }
}

@Suite("An event is a line")
struct LoggingTests {
  @Test("As text")
  func text() {
    let lines = logged(.text) { logger in
      logger[metadataKey: "store"] = "/mnt/efs/orders"
      logger.info("leads", metadata: ["term": "3", "a": ""])
      logger.warning("two\nlines\u{1B}", metadata: ["why": "a \"b\"=\nc", "store": "x"])
    }
    #expect(
      lines == #"""
        2026-11-22T10:00:00.123Z info applier: leads a="" store=/mnt/efs/orders term=3
        2026-11-22T10:00:00.123Z warning applier: two\nlines\u{1B} store=x why="a \"b\"=\nc"

        """#)
  }

  @Test("As JSON")
  func json() throws {
    let line = logged(.json) { logger in
      logger.error(
        "a\nb", metadata: ["list": ["x", ["y": "\(1)"]], "empty": ""])
      logger.info("c")
    }
    #expect(
      line == #"""
        {"time": "2026-11-22T10:00:00.123Z", "level": "error", "label": "applier", "message": "a\nb", "metadata": {"empty": "", "list": ["x", {"y": "1"}]}}
        {"time": "2026-11-22T10:00:00.123Z", "level": "info", "label": "applier", "message": "c"}

        """#)
  }

  @Test("With its error")
  func error() {
    let line = logged(.text) { logger in
      logger.error("stops", error: StoreError(.io, "fsync failed", path: "log/1.log"))
    }
    #expect(line.hasSuffix("applier: stops error=\"fsync failed (log/1.log)\"\n"))
  }

  @Test("Below the level nothing is written")
  func level() {
    #expect(logged(.text, level: .error) { $0.warning("quiet") } == "")
    #expect(logged(.text, level: .trace) { $0.debug("loud") } != "")
  }

  @Test("Options choose level and format")
  func options() throws {
    #expect(try LogOptions.parse([]).logLevel == .info)
    let options = try LogOptions.parse(["--log-level", "debug", "--log-format", "json"])
    #expect(options.logger("x").logLevel == .debug)
    #expect(options.logFormat == .json)
    #expect(throws: (any Error).self) { try LogOptions.parse(["--log-level", "loud"]) }
  }

  @Test(
    "Times are UTC",
    arguments: [
      (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
      (951_782_400_007, "2000-02-29T00:00:00.007Z"),
      (1_795_341_600_123, "2026-11-22T10:00:00.123Z"),
    ] as [(Int64, String)])
  func times(milliseconds: Int64, expected: String) {
    #expect(timestamp(milliseconds) == expected)
  }
}
