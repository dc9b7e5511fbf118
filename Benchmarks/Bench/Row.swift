import BenchmarkSupport

/// One line of the table: what is measured, against what, and what is aimed for.
struct Row: Sendable {
  enum Aim: Sendable {
    case atLeast(Double)
    case atMost(Double)

    func isMet(by ratio: Double) -> Bool {
      switch self {
      case .atLeast(let bound): ratio >= bound
      case .atMost(let bound): ratio <= bound
      }
    }
  }

  enum Unit: Sendable {
    case perSecond, microseconds, megabytesPerSecond, megabytes
  }

  var number: Int
  var work: String
  var against: String
  var aim: Aim
  var unit: Unit
  /// Why it is missed where it is, and which of its figures shows that.
  var cause: String?
  /// A round takes minutes: there is one.
  var isLong = false
  /// One round, in a directory of its own.
  var measure: @Sendable (WorkDirectory) async throws -> Round
}

/// Why a row cannot be measured here.
struct Skipped: Error {
  let reason: String
}

/// What one round measured, in the row's unit.
struct Round: Sendable {
  var ours: Double
  var baseline: Double
  /// Other figures that help to understand the ratio, by name.
  var notes: [(name: String, text: String)] = []
  /// What bounds `ours`: the bare operations that it cannot do without, one after another, measured in the same round.
  var limit: (name: String, value: Double)?
  /// Why it is missed where it is, in figures of this round; else the row says why.
  var cause: String?

  var ratio: Double { ours / baseline }
}

/// A row's rounds taken together.
struct Result: Sendable {
  let ratios: Sample
  let ours: Double
  let baseline: Double
  let notes: [(name: String, text: String)]
  let limit: (name: String, value: Double)?
  let cause: String?

  init(_ rounds: [Round]) {
    ratios = Sample(rounds.map(\.ratio))
    ours = Sample(rounds.map(\.ours)).median
    baseline = Sample(rounds.map(\.baseline)).median
    // Of the round that the table shows.
    let median = ratios.median
    let shown = rounds.first { $0.ratio == median }
    notes = shown?.notes ?? []
    (limit, cause) = (shown?.limit, shown?.cause)
  }
}

/// The rows, in their order.
let allRows = localRows + networkRows + [quickDiskRow]

private let localRows: [Row] = [
  Row(
    number: 1, work: "durable submits, 16 tasks, 200-byte batches",
    against: "bare pwrite + fdatasync + 4 KiB read, same flush sizes", aim: .atLeast(0.9),
    unit: .perSecond, measure: manySubmits),
  Row(
    number: 2, work: "one durable submit alone, p50", against: "one such round",
    aim: .atMost(1.5), unit: .microseconds, measure: loneSubmits),
  Row(
    number: 3, work: "rows applied from 1,000-row batches, indexed table",
    against: "SQLite C API, prepared insert, no journal, no sync", aim: .atLeast(0.9),
    unit: .perSecond, measure: { try largeBatches($0) }),
  Row(
    number: 4, work: "one-row batches applied that wait in the journal",
    against: "the same, one row each", aim: .atLeast(0.5), unit: .perSecond,
    measure: { try smallBatches($0) }),
  Row(
    number: 5, work: "32 processes, one-row batches, submit → applied",
    against: "SQLite rollback journal, flock around each write", aim: .atLeast(5),
    unit: .perSecond, measure: { try manyProcesses($0) }),
  Row(
    number: 6, work: "submit → visible to a latest read, p50",
    against: "three durable 4 KiB writes, one after another", aim: .atMost(1.2),
    unit: .microseconds, measure: { try visibility($0) }),
  Row(
    number: 7, work: "warm point query, snapshot pinned",
    against: "plain SQLite, same content, default locking", aim: .atLeast(1), unit: .perSecond,
    measure: { try pinnedQueries($0) }),
  Row(
    number: 8, work: "warm point query, latest each time", against: "the same",
    aim: .atLeast(1), unit: .perSecond,
    cause: "a read of four blocks for each, where plain SQLite takes a lock and reads 16 bytes",
    measure: { try latestQueries($0) }),
  Row(
    number: 9, work: "replay of one-row batches", against: "applying them", aim: .atLeast(0.8),
    unit: .perSecond, measure: { try replays($0) }),
  Row(
    number: 10, work: "restore of 256 MiB, half of it in the log",
    against: "a durable copy of the same file", aim: .atLeast(0.7), unit: .megabytesPerSecond,
    measure: { try restores($0) }),
  Row(
    number: 11, work: "a checkpoint of 1 GiB, half of it in the log",
    against: "a durable copy of the same file", aim: .atLeast(0.6),
    unit: .megabytesPerSecond, measure: { try checkpoints($0) }),
  Row(
    number: 12, work: "a 1 GiB store, 512 MiB of log opened, a row read", against: "50 ms",
    aim: .atMost(1), unit: .microseconds, measure: { try openings($0) }),
  Row(
    number: 13, work: "restore of 256 MiB, half of it written anew",
    against: "litestream restore, file replica", aim: .atLeast(2), unit: .megabytesPerSecond,
    measure: { try restoresBesideLitestream($0) }),
  Row(
    number: 14, work: "kept for 7 days per million one-row batches",
    against: "Litestream's file replica of the same", aim: .atMost(2), unit: .megabytes,
    cause:
      "each batch is kept with its outcome beside the pages (see what they take), and Litestream keeps what a second's transactions leave of a page once",
    measure: { try keptBesideLitestream($0) }),
  Row(
    number: 15, work: "one-row batches applied beside checkpoints",
    against: "the same without", aim: .atLeast(0.5), unit: .perSecond,
    measure: { try appliesBesideCheckpoints($0) }),
]

private let quickDiskRow = Row(
  number: 26, work: "32 processes as above, files in memory",
  against: "SQLite rollback journal, flock around each write", aim: .atLeast(5),
  unit: .perSecond, measure: { _ in try manyProcessesOnQuickDisk() })
