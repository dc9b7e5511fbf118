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

/// Row 1: 16 tasks submit one after the other each; then the flushes that this came to, bare; and the same submits
/// without a disk; in turns.
func manySubmits(_ work: WorkDirectory) async throws -> Round {
  let turns = 10
  let ours = try Submitting(work["store"], hasNoDisk: false)
  let diskless = try Submitting(work["diskless"], hasNoDisk: true)
  let bare = try BareFile(work["bare"], size: 64 << 20)
  var baseline = 0.0
  for _ in 0..<turns {
    try await ours.turn()
    let sizes = ours.takeSizes()
    baseline += try nanoseconds { for size in sizes { try bare.round(size) } }
    try await diskless.turn()
    _ = diskless.takeSizes()
  }
  let submits = Double(Submitting.tasks * turns * Submitting.perTaskAndTurn)
  func perFlush(_ time: Double, _ of: Submitting) -> String {
    BenchmarkSupport.time(microseconds: time / Double(of.flushes) / 1000)
  }
  return Round(
    ours: submits / ours.time * 1e9, baseline: submits / baseline * 1e9,
    notes: [
      ("batches a flush", fixed(submits / Double(ours.flushes), 1)),
      ("a bare round", perFlush(baseline, ours)),
    ],
    limit: (
      "bare rounds, and between them what the tasks do without a disk",
      submits / (baseline + diskless.time) * 1e9
    ),
    cause:
      "a flush takes \(perFlush(ours.time, ours)) and a bare round \(perFlush(baseline, ours)); tasks that are woken, encode and share a frame take \(perFlush(diskless.time, diskless)) a flush where there is no disk, and no processor has anything to do in a round"
  )
}

/// 16 tasks that submit, and how long that took.
private final class Submitting {
  static let tasks = 16
  static let perTaskAndTurn = 100
  private let files: RecordingFileSystem
  private let writer: Writer
  private(set) var time = 0.0
  private(set) var flushes = 0

  init(_ store: String, hasNoDisk: Bool) throws {
    var environment = Environment.posix()
    files = RecordingFileSystem(hasNoDisk: hasNoDisk)
    try StoreCreation().make(at: store)
    environment.fileSystem = files
    writer = try Writer(store: store, environment: environment)
  }

  func turn() async throws {
    let clock = SystemClock()
    let began = clock.bootTime_ns()
    try await withThrowingTaskGroup(of: Void.self) { [writer] group in
      for _ in 0..<Self.tasks {
        group.addTask {
          for _ in 0..<Self.perTaskAndTurn { _ = try await writer.submit(smallBatch) }
        }
      }
      try await group.waitForAll()
    }
    time += Double(clock.bootTime_ns() - began)
  }

  /// Of the flushes since this was last called.
  func takeSizes() -> [Int] {
    let sizes = files.record.take()
    flushes += sizes.count
    return sizes
  }
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
