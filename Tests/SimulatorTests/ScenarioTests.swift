import Foundation
import SluiceShared
import SluiceSimulator
import Testing

/// The texts in `Scenarios`, each played with all checks and without each one that it names.
@Suite("Schedules that matter, and what each check is needed for in them")
struct ScenarioTests {
  private static let directory = (Bundle.module.resourcePath ?? "") + "/Scenarios"
  private static let names =
    ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()

  private static func scenario(_ name: String) throws -> Scenario {
    try Scenario(String(contentsOfFile: "\(directory)/\(name)", encoding: .utf8), name: name)
  }

  @Test(
    "With all checks nothing is violated, and each step ends as the text has it", arguments: names)
  func whole(_ name: String) throws {
    let run = ScenarioRun(try Self.scenario(name))
    #expect(run.run() == nil)
    #expect(run.deviations == [])
  }

  @Test("Without a check that it names, what the text says is seen", arguments: names)
  func without(_ name: String) throws {
    let scenario = try Self.scenario(name)
    for absence in scenario.absences {
      let found = ScenarioRun(scenario, omitting: [absence.check]).run()
      #expect(
        found?.kind == absence.kind,
        "without \(absence.check): \(found.map(\.description) ?? "nothing is seen")")
    }
  }

  @Test("Each check of the two handshakes has its schedule")
  func complete() throws {
    let checks = try Set(Self.names.flatMap { try Self.scenario($0).absences.map(\.check) })
    #expect(
      checks == [
        .markAfterFrame, .markAfterStart, .markBeforeReading, .markDownToStart, .parentByStart,
        .claimByLink, .checkBeforePublishing, .publishBeforeAcknowledging, .newSegmentAfterError,
        .lookBehindMark, .retireBelowBeacon, .retireByLink, .syncBeacon, .syncLogDirectory,
        .markAfterFlush, .flushBeforeMark, .rereadAfterMark, .removeOnlyPublished,
        .syncJournalDirectory,
      ])
  }

  /// A text that lost its point is no test: it must not end as it is meant to by itself.
  @Test("A step that ends otherwise is told, with its line")
  func deviation() throws {
    let text = """
      handshake log
      without markAfterFrame: twoHistories
      A claims
      # Nobody has overtaken it.
      A commits: notLeading
      B commits
      """
    let run = ScenarioRun(try Scenario(text, name: "sample"))
    #expect(run.run() == nil)
    #expect(
      run.deviations == [
        "sample:5: A commits: done, and not notLeading", "sample:6: B commits: idle, and not done",
      ])
  }

  @Test(
    "A line that cannot be meant is refused by its number",
    arguments: [
      ("A sleeps", "there is no action 'sleeps': "),
      ("A", "'A' does not say who does what"),
      ("handshake lease", "there is no handshake 'lease': log, journal"),
      ("without care: lost", "there is no check 'care': "),
      ("without markAfterFrame: luck", "there is no violation 'luck': "),
      ("without markAfterFrame", "'markAfterFrame' is not `without CHECK: VIOLATION`"),
      ("A claims: won", "there is no ending 'won': done, stopped, lost, idle, "),
      ("A claims, waits", "there is no way to halt 'waits': stops before, fails at, fails late at"),
      ("A claims, stops before dinner", "there is no file operation 'dinner'"),
      ("A claims, stops before write home", "there is no place 'home': mark, "),
      ("A claims, stops before write mark of two", "'two' is no number of a segment"),
      ("A claims, stops before write a mark", "names no file operation: "),
    ])
  func refused(line: String, reason: String) throws {
    let text = "# One step.\nA claims\n\(line)\n"
    let error = #expect(throws: ScenarioError.self) { try Scenario(text, name: "sample") }
    #expect(error?.line == 3)
    #expect(error?.what.contains(reason) == true, "\(String(describing: error))")
  }

  @Test("A text without a step, or with no check that matters, is none")
  func empty() {
    #expect(throws: ScenarioError.self) {
      try Scenario("without markAfterFrame: lost\n", name: "sample")
    }
    #expect(throws: ScenarioError.self) { try Scenario("A claims\n", name: "sample") }
  }
}
