import SluiceFakes
import SluiceShared

/// Reads the text of a scenario. What cannot be meant is refused with its line.
///
///     # A remark.
///     handshake log
///     without markAfterFrame: twoHistories
///
///     A claims
///     A commits, stops before write frame
///     A resumes: notLeading
struct ScenarioParser {
  private var scenario: Scenario
  private var line = 0

  fileprivate static func parse(_ text: String, name: String) throws(ScenarioError) -> Scenario {
    var parser = ScenarioParser(scenario: Scenario(name: name))
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      parser.line += 1
      try parser.take(String(line))
    }
    guard !parser.scenario.steps.isEmpty else { throw parser.error("there is no step") }
    guard !parser.scenario.absences.isEmpty else {
      throw parser.error("no check makes a difference: add `without CHECK: VIOLATION`")
    }
    return parser.scenario
  }

  private mutating func take(_ text: String) throws(ScenarioError) {
    let text = text.prefix { $0 != "#" }.trimming()
    guard !text.isEmpty else { return }
    let words = text.split(separator: " ").map(String.init)
    switch words[0] {
    case "handshake":
      scenario.handshake = try named(words.dropFirst().joined(separator: " "), "handshake")
    case "without":
      let (check, kind) = try halves(text.dropFirst("without".count), "without CHECK: VIOLATION")
      scenario.absences.append(
        Scenario.Absence(check: try named(check, "check"), kind: try named(kind, "violation")))
    default: scenario.steps.append(try step(text))
    }
  }

  /// `ACTOR ACTION[, WAY OPERATION [PLACE] [of NUMBER]][: ENDING]`
  private func step(_ text: String) throws(ScenarioError) -> Scenario.Step {
    let isExpecting = text.contains(":")
    let (what, ending) = try isExpecting ? halves(text[...], "STEP: ENDING") : (text, "")
    let parts = what.split(separator: ",", maxSplits: 1).map { $0.trimming() }
    let words = parts[0].split(separator: " ", maxSplits: 1).map { $0.trimming() }
    guard words.count == 2 else { throw error("'\(parts[0])' does not say who does what") }
    let halt: Scenario.Halt? = try parts.count == 2 ? self.halt(parts[1]) : nil
    var expected = halt?.way == .stops ? Scenario.Ending.stopped : .done
    if isExpecting { expected = try self.ending(ending) }
    return Scenario.Step(
      line: line, actor: words[0], action: try named(words[1], "action"), halt: halt,
      expected: expected)
  }

  private func halt(_ text: String) throws(ScenarioError) -> Scenario.Halt {
    guard let way = Scenario.Halt.Way.allCases.first(where: { text.hasPrefix($0.rawValue + " ") })
    else { throw unknown("way to halt", text, Scenario.Halt.Way.allCases.map(\.rawValue)) }
    var words = text.dropFirst(way.rawValue.count).split(separator: " ").map(String.init)
    var segment: UInt64?
    if words.count >= 3, words[words.count - 2] == "of" {
      guard let number = UInt64(words[words.count - 1]) else {
        throw error("'\(words[words.count - 1])' is no number of a segment")
      }
      segment = number
      words.removeLast(2)
    }
    guard words.count == 1 || words.count == 2 else {
      throw error(
        "'\(text)' names no file operation: \(way.rawValue) OPERATION [PLACE] [of NUMBER]")
    }
    guard let action = FileOperation.Action(rawValue: words[0]) else {
      throw error("there is no file operation '\(words[0])'")
    }
    var operation = FileOperationPattern(action: action, segment: segment)
    if words.count == 2 {
      operation.place = try named(words[1], "place") as FileOperationPattern.Place
    }
    return Scenario.Halt(way: way, operation: operation)
  }

  private func ending(_ text: String) throws(ScenarioError) -> Scenario.Ending {
    let codes: [StoreError.Code] = [
      .io, .notLeading, .notSubmitted, .outcomeUnknown,
    ]
    let endings = [.done, .stopped, .lost, .idle] + codes.map { Scenario.Ending.failed($0) }
    guard let ending = endings.first(where: { $0.description == text }) else {
      throw unknown("ending", text, endings.map(\.description))
    }
    return ending
  }

  // MARK: Words

  private func named<Word: RawRepresentable<String> & CaseIterable>(_ text: String, _ what: String)
    throws(ScenarioError) -> Word
  {
    guard let word = Word(rawValue: text) else {
      throw unknown(what, text, Word.allCases.map(\.rawValue))
    }
    return word
  }

  private func halves(_ text: Substring, _ form: String) throws(ScenarioError) -> (String, String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map { $0.trimming() }
    guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }) else {
      throw error("'\(text.trimming())' is not `\(form)`")
    }
    return (parts[0], parts[1])
  }

  private func unknown(_ what: String, _ text: String, _ known: [String]) -> ScenarioError {
    error("there is no \(what) '\(text)': \(known.joined(separator: ", "))")
  }

  private func error(_ what: String) -> ScenarioError {
    ScenarioError(scenario: scenario.name, line: line, what: what)
  }
}

/// A line of a scenario that cannot be meant.
package struct ScenarioError: Error, Equatable, CustomStringConvertible {
  package let scenario: String
  package let line: Int
  package let what: String
  package var description: String { "\(scenario):\(line): \(what)" }
}

extension Scenario {
  /// Throws where a line cannot be meant.
  package init(_ text: String, name: String) throws(ScenarioError) {
    self = try ScenarioParser.parse(text, name: name)
  }

  fileprivate init(name: String) { self.name = name }
}

extension StringProtocol {
  fileprivate func trimming() -> String {
    let text = drop { $0.isWhitespace }
    let count = text.reversed().prefix { $0.isWhitespace }.count
    return String(text.dropLast(count))
  }
}
