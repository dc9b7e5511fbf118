import ArgumentParser
import BenchmarkSupport
import Glibc
import SluiceJournal
import SluiceShared
import SluiceWriter

/// Waits until a file is there, then submits one batch as a new writer, and writes down when it had its
/// outcome. A process that is started only then would be measured with it, and that takes seconds in a guest
/// of user-mode Linux.
///
/// Before it is ready it measures the same some times while nothing else happens, which says how fast its host
/// and its server are now.
///
/// Its diary has the lines `ready USUAL_ms`, the median of these; `durable TIME_ms` and `answered TIME_ms TXID`, by the server's clock.
struct AskRole: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "ask")

  @Argument var store: String
  @Argument(help: "The file that is waited for.") var file: String
  @Argument var diary: String
  @Option(help: "By how many ms the file server's clock is ahead of this host's.")
  var serverAhead: Int64 = 0

  private static let patience = Duration.seconds(100)

  func run() async throws {
    let diary = try Diary(diary)
    let clock = ServerClock(ahead_ms: serverAhead)
    // Behind the first one what the program needs for it is in memory.
    _ = try await ask {}
    var took_ms: [Int64] = []
    for _ in 0..<5 {
      let began = SystemClock().elapsed()
      _ = try await ask {}
      took_ms.append((SystemClock().elapsed() - began).wholeMilliseconds)
    }
    diary.add("ready \(took_ms.sorted()[2])", sync: true)
    while access(file, F_OK) != 0 { SystemClock().sleep(.milliseconds(5)) }
    let txid = try await ask { diary.add("durable \(clock.wallTime_ms())") }
    diary.add("answered \(clock.wallTime_ms()) \(txid)", sync: true)
  }

  private func ask(_ durable: () -> Void) async throws -> TxID {
    let writer = try Writer(store: store)
    let receipt = try await writer.submit(Batch([Batch.Statement("SELECT 1")]))
    durable()
    let outcome = try await writer.outcome(of: receipt, timeout: Self.patience)
    await writer.close()
    return outcome.txid
  }
}
