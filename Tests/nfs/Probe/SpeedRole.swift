import ArgumentParser
import BenchmarkSupport
import Glibc
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceWriter

/// How long things take over a network, and what that is held against: the round trips that they need, and a
/// lock around each write.
struct SpeedRole: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "speed", subcommands: [Bare.self, Lone.self, Latest.self, Busy.self, Locked.self])

  /// Times of one kind, of which the median counts.
  struct Times {
    private var microseconds: [Double] = []

    mutating func measure<R>(_ body: () throws -> R) rethrows -> R {
      let began = SystemClock().elapsed()
      defer { add(SystemClock().elapsed() - began) }
      return try body()
    }

    mutating func add(_ time: Duration) { microseconds.append(time / .microseconds(1)) }

    func tell(_ name: String) { print(name, Int(Sample(microseconds).median)) }
  }
}

extension SpeedRole {
  /// Synchronous writes of one block, and reads of it past the cache: a round trip each.
  struct Bare: ParsableCommand {
    @Argument var file: String
    @Argument var count: Int

    func run() throws {
      let file = try PosixFileSystem().createUncached(file, mode: 0o600)
      let block = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
      defer { block.deallocate() }
      block.initializeMemory(as: UInt8.self, repeating: 7)
      var (writes, reads) = (Times(), Times())
      for place in 0..<count {
        try writes.measure {
          try file.write(UnsafeRawBufferPointer(block), at: Int64(place) * 4096)
        }
        _ = try reads.measure { try file.read(into: block, at: Int64(place) * 4096) }
      }
      writes.tell("write")
      reads.tell("read")
    }
  }

  /// One batch after the other, each waited for; then another host reads the present.
  struct Lone: ParsableCommand {
    @Argument var store: String
    @Argument var count: Int
    @Argument(help: "The address at which another host's `latest` listens.") var reader: String

    func run() throws {
      let writer = try Writer(store: store)
      let reader = try Conversation(to: reader)
      var (durable, applied, latest) = (Times(), Times(), Times())
      var idle = try ProcessorTime()
      for number in 0..<count + 40 {
        // The first ones, while hints prove themselves and caches are filled, do not count.
        if number == 40 { idle = try ProcessorTime() }
        let began = SystemClock().elapsed()
        let receipt = try writer.submitBlocking(Workload.flood("lone", Int64(number)))
        let isDurable = SystemClock().elapsed() - began
        let outcome = try writer.outcomeBlocking(of: receipt, timeout: .seconds(60))
        let isApplied = SystemClock().elapsed() - began
        let answer = try reader.ask()
        guard answer.snapshot >= outcome.txid.rawValue else {
          throw RunError("\(outcome.txid) is not shown")
        }
        guard number >= 40 else { continue }
        durable.add(isDurable)
        applied.add(isApplied)
        latest.add(.microseconds(Int64(answer.took_us)))
      }
      let busy = try ProcessorTime().busy(since: idle).all
      writer.closeBlocking()
      durable.tell("durable")
      applied.tell("applied")
      latest.tell("latest")
      print("processor", Int(busy * 100))
    }
  }

  /// The other host: whenever it is asked, what a latest read took and shows. It ends with the one who asks.
  struct Latest: ParsableCommand {
    @Argument var store: String
    @Argument(help: "The address to listen at, such as 10.0.0.1:7500.") var address: String

    func run() throws {
      let database = try Database(path: store)
      try Conversation(at: address).answer {
        let began = SystemClock().elapsed()
        let snapshot = try database.read(.latest) { $0.txid }
        let took = SystemClock().elapsed() - began
        return Conversation.Answer(
          took_us: UInt64(took / .microseconds(1)), snapshot: snapshot.rawValue)
      }
    }
  }

  /// Many batches at once, for so many seconds, each waited for.
  struct Busy: ParsableCommand {
    @Argument var store: String
    @Argument var name: String
    @Argument var seconds: Int
    @Option var atOnce: Int64 = 200

    func run() throws {
      let asked = Monitor((reads: 0, writes: 0))
      var environment = Environment.posix()
      environment.fileSystem = MeteredFileSystem(PosixFileSystem()) { operation, count, number in
        guard count == .asked else { return }
        asked.withLock {
          if operation == .read { $0.reads += number }
          if operation == .write { $0.writes += number }
        }
      }
      let writer = try Writer(store: store, environment: environment)
      let began = SystemClock().elapsed()
      var number: Int64 = 0
      while SystemClock().elapsed() - began < .seconds(seconds) {
        let batches = (number + 1...number + atOnce).map { Workload.flood(name, $0) }
        number += atOnce
        for result in writer.submitBlocking(batches) {
          _ = try writer.outcomeBlocking(of: result.get(), timeout: .seconds(60))
        }
      }
      print("rate", Int(Double(number) / ((SystemClock().elapsed() - began) / .seconds(1))))
      let (reads, writes) = asked.withLock { ($0.reads, $0.writes) }
      print("reads", reads)
      print("writes", writes)
      writer.closeBlocking()
    }
  }

  /// What Sluice takes the place of: a lock, one write to the database itself, the lock given back. The lock
  /// is a file that one of several makes, so that it costs as little as a request to a table.
  struct Locked: ParsableCommand {
    @Argument var directory: String
    @Argument var seconds: Int

    func run() throws {
      let fileSystem = PosixFileSystem()
      let lock = "\(directory)/lock"
      let began = SystemClock().elapsed()
      var times = Times()
      var writes = 0
      while SystemClock().elapsed() - began < .seconds(seconds) {
        try times.measure {
          while (try? fileSystem.create(lock, mode: 0o600)) == nil {
            SystemClock().sleep(.milliseconds(Int64.random(in: 5...50)))
          }
          let connection = try Connection(
            path: "\(directory)/database.sqlite", flags: [.readWrite, .create])
          try connection.execute("PRAGMA synchronous = FULL")
          try connection.execute("CREATE TABLE IF NOT EXISTS t(a)")
          try connection.execute("INSERT INTO t VALUES (1)")
          try connection.close()
          try fileSystem.unlink(lock)
        }
        writes += 1
      }
      times.tell("each")
      let passed = (SystemClock().elapsed() - began) / .seconds(1)
      print("rate", fixed(Double(writes) / passed, 2))
    }
  }
}
