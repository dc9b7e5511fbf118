import ArgumentParser
import SluiceShared
import SluiceWriter

/// A worker process: submits batches one after the other, waits for all their outcomes, and says
/// what it was told about each.
struct Worker: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "worker", shouldDisplay: false)

  @Argument var store: String
  @Argument var number: Int
  @Argument var seconds: Double
  @Argument var pause_ms: Double

  /// Longer than any takeover.
  private static let patience = Duration.seconds(30)

  func run() async throws {
    let clock = SystemClock()
    let writer = try Writer(store: store)
    let end = clock.bootTime_ns() + UInt64(seconds * 1e9)
    let testimonies = await withTaskGroup(of: Testimony.self) { group in
      var mix = DeedMix(worker: number)
      while clock.bootTime_ns() < end {
        let (deed, batch) = mix.next()
        let began = clock.bootTime_ns()
        do throws(StoreError) {
          let receipt = try await writer.submit(batch)
          let durable = clock.bootTime_ns() - began
          group.addTask {
            await Self.follow(deed, receipt, writer, clock, began_ns: began, durable_ns: durable)
          }
        } catch {
          let answer: Testimony.Answer =
            error.code == .outcomeUnknown ? .unknown("\(error)") : .notSubmitted("\(error)")
          group.addTask {
            Testimony(
              deed: deed, batch: error.batch, answer: answer, began_ns: began, durable_ns: 0,
              visible_ns: 0)
          }
        }
        if pause_ms > 0 {
          try? await Task.sleep(for: .milliseconds(Double.random(in: 0...2 * pause_ms)))
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    await writer.close()
    for testimony in testimonies { print(testimony.line) }
  }

  private static func follow(
    _ deed: Deed, _ receipt: Receipt, _ writer: Writer, _ clock: SystemClock, began_ns: UInt64,
    durable_ns: UInt64
  ) async -> Testimony {
    do {
      let outcome = try await writer.outcome(of: receipt, timeout: patience)
      return Testimony(
        deed, receipt.batch, outcome, began_ns: began_ns, durable_ns: durable_ns,
        visible_ns: clock.bootTime_ns() - began_ns)
    } catch {
      return Testimony(
        deed: deed, batch: receipt.batch, answer: .noOutcome("\(error)"), began_ns: began_ns,
        durable_ns: durable_ns, visible_ns: 0)
    }
  }
}
