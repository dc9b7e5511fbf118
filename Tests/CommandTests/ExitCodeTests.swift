import ArgumentParser
import SluiceShared
import Testing

@testable import sluice

@Suite("Exit codes say what to do next")
struct ExitCodeTests {
  @Test(
    "Each error has the code of its kind",
    arguments: [
      (.invalid, 64), (.limit, 64), (.noSuchStore, 66), (.snapshotExpired, 66), (.timeout, 69),
      (.io, 74), (.outcomeUnknown, 74), (.wrongClock, 74), (.backlogFull, 75), (.notSubmitted, 75),
      (.notLeading, 75), (.damaged, 76), (.foreign, 76), (.unsupported, 76),
      (StoreError.Code(rawValue: "new"), 74),
    ] as [(StoreError.Code, Int32)])
  func codes(code: StoreError.Code, expected: Int32) {
    #expect(ExitCode(code).rawValue == expected)
  }

  @Test("Usage is what the argument parser ends with")
  func usage() {
    #expect(ExitCode.usage == ExitCode.validationFailure)
    #expect(ExitCode.batchRejected.rawValue == 65)
  }
}
