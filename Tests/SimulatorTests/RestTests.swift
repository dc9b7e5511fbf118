import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceSimulator
import SluiceWriter
import Testing

/// Hours of simulated time in which nobody submits anything.
@Suite(
  "A leader, two standbys and a hundred sleeping writers ask for a request a second at most",
  .serialized)
struct RestTests {
  private let template: StoreTemplate
  init() throws { template = try StoreTemplate(pageSize: 4096) }

  private static let measured = Duration.seconds(3600)

  /// Requests to the file server in an hour of rest, of whom.
  private func requests(machines: UInt64) -> [String: Int] {
    let distance = Distance(
      template, roundTrip: .milliseconds(1), execution: .microseconds(100), hasHints: true,
      wakesReceivers: true, machines: machines, seed: 1)
    distance.lease = .seconds(10)
    if machines == 1 { distance.hintAddress = .loopback }
    var noted: [Distance.Noted] = []
    distance.run {
      // The first one leads.
      for name in ["applier", "standby 1", "standby 2"] {
        let host = machines == 1 ? 0 : ["applier", "standby 1", "standby 2"].firstIndex(of: name)
        distance.applier(distance.process(name, on: host ?? 0))
        distance.sleep(.seconds(2))
      }
      // Each has written, knows the outcome, and is there still.
      var writers: [Writer] = []
      for number in 0..<100 {
        let process = distance.process("writer \(number)", on: number % Int(machines))
        let writer = try distance.writer(process)
        let receipt = try writer.submitBlocking(Batch([Batch.Statement("SELECT 1")]))
        _ = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60))
        writers.append(writer)
        distance.sleep(.milliseconds(100))
      }
      // Segments are retired, and pauses are as long as they get.
      distance.sleep(.seconds(3600))
      noted = distance.noting { distance.sleep(Self.measured) }
      withExtendedLifetime(writers) {}
    }
    #expect(distance.failures == [])
    // A write goes to the server with its sync.
    let asked = noted.filter { $0.operation.action != .write }
    let kinds = Dictionary(grouping: asked) { "\($0.process) \($0.operation.action)" }
    print(
      "at rest on \(machines) machines, an hour: \(asked.count) requests;",
      kinds.map { "\($0.key) \($0.value.count)" }.sorted().joined(separator: ", "))
    return Dictionary(grouping: asked, by: \.process).mapValues(\.count)
  }

  /// On one host a leader makes its beats in two fifths of the lease, since those of other hosts do not hear it, and its
  /// standbys look as often.
  @Test(arguments: [(3, 2160), (1, 3600)] as [(UInt64, Int)])
  func inAnHour(machines: UInt64, most: Int) {
    let requests = requests(machines: machines)
    #expect(requests.values.reduce(0, +) <= most)
    #expect(!requests.keys.contains { $0.hasPrefix("writer") })
    // Nobody is left out who is there.
    #expect(Set(requests.keys) == ["applier", "standby 1", "standby 2"])
  }
}
