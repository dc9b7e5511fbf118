import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceSimulator
import SluiceWriter
import Testing

/// Eight writing processes on two machines, and the applier on one of them: what all of them together ask the file
/// server for while they are busy.
@Suite("Under load a WRITE comes with few READs", .serialized)
struct LoadedRequestTests {
  private let template: StoreTemplate
  init() throws { template = try StoreTemplate(pageSize: 4096) }

  private func batch() -> Batch { Batch([Batch.Statement("SELECT 1")]) }

  /// What each process does again and again.
  enum Load: CaseIterable {
    /// One batch, waited for.
    case one
    /// The same by sixteen threads.
    case threads
    /// So many at once, all waited for.
    case many
    /// One after the other, of which nobody waits for an outcome.
    case unawaited

    /// READs a WRITE. With *f* flushes and *c* commits there are *f* + 2*c* WRITEs, and at least as many READs as this:
    /// *f* marks and *c* of the leader's, which the handshakes rest on; of each commit one for each segment in which
    /// something new is; two for each time that somebody waits, of the beacon and of the commits behind it, in one round
    /// trip. The segments are files of their own, and a process reads for itself. So it is 1 only where nobody waits and
    /// each commit is of one flush.
    var most: Double {
      switch self {
      case .one: 2.6
      case .threads: 2.2
      case .many: 3
      case .unawaited: 1.4
      }
    }
  }

  private func write(_ load: Load, _ writer: Writer, _ distance: Distance) throws {
    do {
      let results = writer.submitBlocking(
        [Batch](repeating: batch(), count: load == .many ? 200 : 1))
      guard load != .unawaited else { return }
      for result in results {
        _ = try writer.outcomeBlocking(of: result.get(), timeout: .seconds(60))
      }
    } catch {
      guard distance.scheduler.isOver else { throw error }
    }
  }

  private func measure(_ load: Load, seed: UInt64) -> RequestTally {
    let distance = Distance(
      template, roundTrip: .milliseconds(3), execution: .microseconds(100), costs: .asOnNFS,
      hasHints: true, seed: seed)
    var tally = RequestTally()
    distance.run { [self] in
      distance.applier(distance.process("applier", on: 0))
      distance.sleep(.seconds(2))
      for number in 0..<8 {
        let process = distance.process("writer \(number)", on: number % 2)
        let writer = try distance.writer(process)
        for _ in 0..<(load == .threads ? 16 : 1) {
          distance.strand(process) { [self] in
            while !distance.scheduler.isOver { try write(load, writer, distance) }
          }
        }
      }
      // While hints prove themselves and segments grow more is asked.
      distance.sleep(.seconds(3))
      distance.resetRequests()
      distance.sleep(.seconds(3))
      tally = distance.requests
    }
    #expect(distance.failures == [])
    return tally
  }

  @Test(arguments: Load.allCases) func eachREADHasItsReason(_ load: Load) {
    let tally = measure(load, seed: 1)
    print("\(load): \(tally.ratio) READs a WRITE; \(tally)")
    let (flushes, commits) = (tally.writes[.frame] ?? 0, (tally.writes[.log] ?? 0) / 2)
    func expect(_ purpose: RequestTally.Purpose, atMost most: Int) {
      // What is under way when it is counted, and looks that come a moment before a frame.
      #expect(tally.reads[purpose] ?? 0 <= most + most / 10 + 8, "\(purpose)")
    }
    expect(.writerMark, atMost: flushes)
    expect(.leaderMark, atMost: commits)
    expect(.journal, atMost: min(flushes, commits * 8))
    // Who waits for nothing looks once a second.
    expect(.present, atMost: load == .unawaited ? 8 * 3 : flushes)
    expect(.outcomes, atMost: load == .unawaited ? 8 * 5 : flushes)
    expect(.other, atMost: 0)
    #expect(flushes > 50 && commits > 10)
    #expect(tally.ratio <= load.most)
  }
}
