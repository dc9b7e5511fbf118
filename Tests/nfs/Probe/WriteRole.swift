import ArgumentParser
import BenchmarkSupport
import SluiceJournal
import SluiceShared
import SluiceWriter

/// A writer: submits batches at a steady pace until it is told to end, and writes down what it was
/// told of each.
///
/// Its diary has the lines `begin N`, then one of `durable N`, `absent N` (certainly not there) and
/// `unknown N`; and later `applied N TXID TIME_ms`, by the server's clock; at the very end `end`.
struct WriteRole: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "write")

  @Argument var store: String
  @Argument(help: "The writer's name in the tables.") var name: String
  @Argument var diary: String
  @Option(help: "Between two batches, in milliseconds.") var pause = 40
  @Option(help: "By how many ms the file server's clock is ahead of this host's.")
  var serverAhead: Int64 = 0
  @Flag(help: "Make the tables first, then end.") var setup = false
  @Flag(help: "Replace a row of 4 MiB in each batch.") var large = false

  /// Longer than everything that is done to the servers and hosts here, and than a slow guest needs for the
  /// backlog behind which a batch may come.
  private static let patience = Duration.seconds(240)

  func run() async throws {
    if setup {
      let writer = try Writer(store: store)
      _ = try await writer.outcome(of: writer.submit(Workload.schema), timeout: Self.patience)
      await writer.close()
      return
    }
    let termination = TerminationRequest()
    let diary = try Diary(diary)
    let writer = try Writer(store: store)
    let clock = ServerClock(ahead_ms: serverAhead)
    await withTaskGroup(of: Void.self) { group in
      var number: Int64 = 1
      diary.add("begin 1", sync: true)
      while !termination.isPending {
        if let receipt = await submit(number, writer, diary) {
          let number = number
          group.addTask { await follow(number, receipt, writer, diary, clock) }
        }
        number += 1
        try? await Task.sleep(for: .milliseconds(pause))
      }
      await group.waitForAll()
    }
    await writer.close()
    diary.add("end", sync: true)
  }

  /// Submits a batch, a keyed one again as long as its outcome is unknown.
  private func submit(_ number: Int64, _ writer: Writer, _ diary: Diary) async -> Receipt? {
    let next = "begin \(number + 1)"
    for _ in 0..<10 {
      do throws(StoreError) {
        let receipt = try await writer.submit(Workload.batch(name, number, isLarge: large))
        // One sync for both lines: a line that the host's death takes away is one check fewer.
        diary.add("durable \(number) \(receipt.batch)", next, sync: true)
        return receipt
      } catch {
        diary.add("# \(number): \(error)")
        if error.code == .outcomeUnknown, Workload.isTransfer(number) { continue }
        diary.add(
          error.code == .outcomeUnknown ? "unknown \(number)" : "absent \(number)", next,
          sync: true)
        return nil
      }
    }
    diary.add("unknown \(number)", next, sync: true)
    return nil
  }

  private func follow(
    _ number: Int64, _ receipt: Receipt, _ writer: Writer, _ diary: Diary, _ clock: ServerClock
  ) async {
    do {
      let outcome = try await writer.outcome(of: receipt, timeout: Self.patience)
      let name =
        switch outcome.outcome {
        case .applied: "applied"
        case .duplicate: "duplicate"
        case .rejected: "rejected"
        }
      diary.add("\(name) \(number) \(outcome.txid) \(clock.wallTime_ms())")
    } catch {
      diary.add("lost \(number) \(error)")
    }
  }
}
