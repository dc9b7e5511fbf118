import BenchmarkSupport
import SluiceApplier
import SluiceJournal
import SluiceShared
import SluiceWriter

/// A batch of about 200 bytes.
private let smallBatch = Batch([
  Batch.Statement(
    "INSERT INTO measurements(sensor, value) VALUES (?, ?)",
    [.integer(4711), .blob([UInt8](repeating: 7, count: 140))])
])

/// Row 1: 16 tasks submit one after the other each; then the flushes that this came to, bare; in
/// turns.
func manySubmits(_ work: WorkDirectory) async throws -> Round {
  let tasks = 16
  let turns = 10
  let perTaskAndTurn = 100
  let files = RecordingFileSystem()
  var environment = Environment.posix()
  environment.fileSystem = files
  let store = work["store"]
  try StoreCreation().make(at: store)
  let writer = try Writer(store: store, environment: environment)
  let clock = environment.clock
  let bare = try BareFile(work["bare"], size: 64 << 20)

  var ours = 0.0
  var baseline = 0.0
  var flushes = 0
  for _ in 0..<turns {
    let began = clock.bootTime_ns()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<tasks {
        group.addTask {
          for _ in 0..<perTaskAndTurn { _ = try await writer.submit(smallBatch) }
        }
      }
      try await group.waitForAll()
    }
    ours += Double(clock.bootTime_ns() - began)
    let sizes = files.record.take()
    baseline += try nanoseconds { for size in sizes { try bare.round(size) } }
    flushes += sizes.count
  }
  let submits = Double(tasks * turns * perTaskAndTurn)
  return Round(
    ours: submits / ours * 1e9, baseline: submits / baseline * 1e9,
    notes: [
      ("batches a flush", fixed(submits / Double(flushes), 1)),
      ("a bare round", time(microseconds: baseline / Double(flushes) / 1000)),
    ])
}

/// Row 2: submits and bare rounds, turn by turn.
func loneSubmits(_ work: WorkDirectory) async throws -> Round {
  let rounds = 400
  let store = work["store"]
  try StoreCreation().make(at: store)
  let writer = try Writer(store: store)
  let bare = try BareFile(work["bare"], size: 64 << 20)
  let clock = SystemClock()
  var ours: [Double] = []
  var blocking: [Double] = []
  var baseline: [Double] = []
  for _ in 0..<rounds {
    let began = clock.bootTime_ns()
    _ = try await writer.submit(smallBatch)
    ours.append(Double(clock.bootTime_ns() - began) / 1000)
    blocking.append(try nanoseconds { _ = try writer.submitBlocking(smallBatch) } / 1000)
    baseline.append(try nanoseconds { try bare.round(4096) } / 1000)
  }
  return Round(
    ours: Sample(ours).median, baseline: Sample(baseline).median,
    notes: [("from a thread, blocking", time(microseconds: Sample(blocking).median))])
}
