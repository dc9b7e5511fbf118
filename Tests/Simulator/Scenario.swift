package import SluiceShared

/// A schedule that matters, as a text that anyone can read and extend: who does what in which order, where
/// it stops meanwhile, and which check makes the difference. `Tests/README.md` says how one is written.
package struct Scenario: Sendable {
  /// Whose steps they are.
  package enum Handshake: String, CaseIterable, Sendable { case log, journal }

  /// Without `check` a run ends with a violation of `kind`.
  package struct Absence: Sendable {
    package let check: SafetyCheck
    package let kind: Violation.Kind
  }

  package let name: String
  package internal(set) var handshake = Handshake.log
  package internal(set) var absences: [Absence] = []
  var steps: [Step] = []

  /// What one of those who play a part does next.
  struct Step: Equatable {
    var line: Int
    var actor: String
    var action: Action
    var halt: Halt?
    var expected: Ending
  }

  enum Action: String, CaseIterable {
    case claims, commits, publishes, finishes, releases, reads
    case submits, closes, applies
    /// Of the log what is below the own segment, of the journal all that is read.
    case retires
    /// As one that still believes to lead: what it reads is not published.
    case retiresLate = "retires late"
    case resumes, dies
    /// Of everything: what is on its way is there, and durable.
    case lands
    /// Of power: all die, and what no sync has made durable is gone.
    case fails
  }

  /// Where a step does not come to its end.
  struct Halt: Equatable {
    enum Way: String, CaseIterable {
      case stops = "stops before"
      /// The operation is not done, and the caller gets an error.
      case fails = "fails at"
      /// So does this one; a write that failed lands later.
      case failsLate = "fails late at"
    }

    var way: Way
    var operation: FileOperationPattern
  }

  /// How a step ended.
  struct Ending: Equatable, CustomStringConvertible {
    var description: String

    static let done = Ending(description: "done")
    static let stopped = Ending(description: "stopped")
    /// Of a claim: somebody else was faster.
    static let lost = Ending(description: "lost")
    /// There was nothing to do it with: no segment that it holds, nothing that it stopped in.
    static let idle = Ending(description: "idle")

    static func failed(_ code: StoreError.Code) -> Ending { Ending(description: code.rawValue) }
  }
}
