import Glibc
import SluiceLease
import SluiceShared
import Testing

@testable import SluiceDynamoDB

@Suite("A process has one way to DynamoDB, whatever the number of its stores")
struct DynamoServiceTests {
  /// Answers when a test says so.
  private final class Silent: HTTPClient, Sendable {
    let state = Monitor((isSilent: true, sent: 0))

    func send(_ request: HTTPRequest, atMost limit: Duration) -> Result<HTTPResponse, HTTPFailure> {
      state.withLock { $0.sent += 1 }
      state.wakeAll()
      _ = state.wait(atMost: limit) { $0.isSilent ? nil : () }
      return state.withLock {
        $0.isSilent
          ? .failure(HTTPFailure(.timedOut, "too late"))
          : .success(HTTPResponse(status: 200, body: "{}"))
      }
    }
  }

  @Test("A service that does not answer is sent few requests at once, and all as soon as it does")
  func silence() throws {
    let client = Silent()
    let variables = [
      "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
    ]
    let service = try DynamoService(
      try Settings(variables) { _ in nil }, client: client, metadata: client, .posix())
    let tables = (0..<40).map {
      DynamoTable(table: "t", store: StoreID(high: 1, low: UInt64($0)), service, SystemClock())
    }
    // A few that are lost close nothing. (One whose time is over before it is sent is none of them.)
    var lost = 0
    for _ in 0..<1000 where lost < 8 {
      let failure = #expect(throws: LockFailure.self) {
        try tables[lost].perform(.read, atMost: .milliseconds(10)).get()
      }
      if failure?.message.contains("does not answer in time") == true { lost += 1 }
    }
    #expect(lost == 8)
    client.state.withLock { $0.sent = 0 }
    let done = Monitor((answered: 0, refused: 0))
    for table in tables {
      startThread {
        let result = table.perform(.read, atMost: .seconds(60))
        done.withLock {
          if case .success = result { $0.answered += 1 } else { $0.refused += 1 }
        }
        done.wakeAll()
      }
    }
    // All but those that try are told at once that nobody answers.
    let others = tables.count - SilenceGate.probes
    #expect(done.wait(atMost: .seconds(30)) { $0.refused >= others ? $0.refused : nil } == others)
    let sent = client.state.wait(atMost: .seconds(30)) { state in
      state.sent >= SilenceGate.probes ? state.sent : nil
    }
    #expect(sent == SilenceGate.probes)
    client.state.withLock { $0.isSilent = false }
    client.state.wakeAll()
    let probes = done.wait(atMost: .seconds(30)) {
      $0.answered >= SilenceGate.probes ? $0.answered : nil
    }
    #expect(probes == SilenceGate.probes)
    for table in tables { _ = try table.perform(.read, atMost: .seconds(1)).get() }
  }

  @Test("Stores of the same settings share connections and credentials")
  func shared() throws {
    for (name, value) in [
      ("AWS_REGION", "eu-central-1"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"),
    ] {
      setenv(name, value, 1)
    }
    let first = try DynamoService.ofProcess(.posix())
    #expect(try DynamoService.ofProcess(.posix()) === first)
    setenv("AWS_REGION", "eu-west-1", 1)
    #expect(try DynamoService.ofProcess(.posix()) !== first)
    for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] { unsetenv(name) }
  }
}
