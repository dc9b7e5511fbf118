import ArgumentParser
import BenchmarkSupport
import CSQLite
import Glibc
import SluiceApplier
import SluiceJournal
import SluiceShared
import SluiceWriter

/// An applier process that works until it is told to end.
struct ApplierRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "applier", shouldDisplay: false)

  @Argument var store: String

  func run() throws {
    let termination = TerminationRequest()
    let applier = try Applier(path: store, options: quietOptions(drains: false))
    try applier.run(shouldStop: { termination.isPending })
  }
}

/// When the processes of a row begin and end: boot time, in nanoseconds.
struct Interval: ParsableArguments {
  @Argument var begin_ns: UInt64
  @Argument var end_ns: UInt64

  /// Calls `step` again and again from the beginning to the end, and prints how often that was, and the
  /// microseconds of a processor that it took.
  func `repeat`(_ step: () throws -> Void) rethrows {
    let clock = SystemClock()
    let now = clock.bootTime_ns()
    if now < begin_ns { clock.sleep(.nanoseconds(Int64(begin_ns - now))) }
    var count = 0
    let before = ProcessUse.ofThisProcess()
    while clock.bootTime_ns() < end_ns {
      try step()
      count += 1
    }
    print(count, Int(ProcessUse.ofThisProcess() - before))
  }
}

/// A worker process of row 5: the next batch when the one before is applied.
struct SubmittingRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "submit", shouldDisplay: false)

  @Argument var store: String
  @Argument var worker: Int64
  @OptionGroup var interval: Interval

  func run() throws {
    let writer = try Writer(store: store)
    try interval.repeat {
      let receipt = try writer.submitBlocking(
        Batch([Batch.Statement(Deposits.insert, [.integer(worker), .text(Deposits.text)])]))
      let outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(20))
      guard case .applied = outcome.outcome else {
        throw RunError("a batch was not applied: \(outcome.outcome)")
      }
    }
    writer.closeBlocking()
  }
}

/// The same with plain SQLite: rollback journal, and a lock of all processes around each write.
struct PlainWritingRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "write", shouldDisplay: false)

  @Argument var database: String
  @Argument var worker: Int64
  @OptionGroup var interval: Interval

  func run() throws {
    let plain = try PlainSQLite(database)
    // For the reading of the schema, which is not under the lock.
    sqlite3_busy_timeout(plain.database, 10_000)
    let lock = open("\(database).lock", O_RDWR | O_CREAT, 0o600)
    guard lock >= 0 else { throw RunError("\(database).lock cannot be opened") }
    let insert = try plain.prepare(Deposits.insert)
    defer { sqlite3_finalize(insert) }
    let text = Array(Deposits.text.utf8CString)
    try interval.repeat {
      guard flock(lock, LOCK_EX) == 0 else { throw RunError("flock failed") }
      sqlite3_bind_int64(insert, 1, worker)
      try text.withUnsafeBufferPointer { text throws(RunError) in
        sqlite3_bind_text(insert, 2, text.baseAddress, Int32(text.count - 1), csqlite_static())
        try plain.run(insert)
      }
      guard flock(lock, LOCK_UN) == 0 else { throw RunError("flock failed") }
    }
  }
}

/// The same without any database: what the disk gives 32 processes, each of which makes a block of its own durable.
struct BareWritingRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "block", shouldDisplay: false)

  @Argument var file: String
  @Argument var worker: Int64
  @OptionGroup var interval: Interval

  func run() throws {
    let bare = try BareFile("\(file).\(worker)", size: 64 << 20)
    try interval.repeat { try bare.write(4096) }
  }
}

/// Answers each byte that comes from a socket with one.
struct EchoRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "echo", shouldDisplay: false)

  @Argument var descriptor: Int32

  func run() {
    var byte: UInt8 = 0
    while read(descriptor, &byte, 1) == 1, write(descriptor, &byte, 1) == 1 {}
  }
}

/// What the processes of row 5 write.
enum Deposits {
  static let schema = "CREATE TABLE deposits(id INTEGER PRIMARY KEY, worker INTEGER, text TEXT)"
  static let insert = "INSERT INTO deposits(worker, text) VALUES (?, ?)"
  static let text = "a row of some forty bytes, like many rows"
}

/// The process in which an applier's batches are executed.
struct ExecuteRole: AsyncParsableCommand {
  static let name = "execute"
  static let configuration = CommandConfiguration(commandName: name, shouldDisplay: false)

  @Argument var arguments: [String] = []

  func run() async throws {
    throw ExitCode(WorkerServer.run(arguments))
  }
}
