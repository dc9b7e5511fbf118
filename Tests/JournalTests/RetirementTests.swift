import SluiceFakes
import SluiceJournal
import SluiceShared
import Testing

@Suite("Two who retire the same segments, however late one of them is, meet nothing unexpected")
struct RetirementTests {
  private static let layout = StoreLayout("/store")

  /// What the other one does while the late one stands still.
  enum Deed: CaseIterable {
    case deletes, retires, retiresAndDeletes
  }

  private static func name(_ number: UInt64, in directory: String) -> String {
    "\(directory)/\(StoreLayout.logName(number))"
  }

  private func store() throws -> MemoryFileSystem {
    let files = MemoryFileSystem()
    files.makeDirectories([Self.layout.log])
    for number in 1...3 as ClosedRange<UInt64> {
      let file = try files.create(Self.name(number, in: Self.layout.log), mode: 0o644)
      try file.resize(to: Block.firstLogFrame)
    }
    return files
  }

  private func retirement(_ fileSystem: any FileSystem, without: SafetyCheck? = nil)
    -> LogRetirement
  {
    var environment = Environment.posix()
    environment.fileSystem = fileSystem
    environment.omittedChecks = without.map { [$0] } ?? []
    return LogRetirement(layout: Self.layout, environment: environment, name: "test")
  }

  private static func names(_ directory: String, _ files: MemoryFileSystem) -> [UInt64] {
    files.disk.names(in: directory).compactMap(StoreLayout.logNumber).sorted()
  }

  /// The late one stands still before its `n`th operation. Returns how many it had, and the segments that lost
  /// their last name at its hands.
  private func race(at n: Int, _ deed: Deed, without check: SafetyCheck? = nil) throws
    -> (operations: Int, unkept: [UInt64])
  {
    let files = try store()
    let other = retirement(files, without: check)
    let seen = Monitor((operations: 0, unkept: [UInt64](), failure: String?.none))
    let late = HookedFileSystem(files) { operation in
      let count = seen.withLock { seen in
        seen.operations += 1
        return seen.operations
      }
      if count == n {
        do {
          if deed != .deletes { _ = try other.retire(below: 3, beneath: 3) }
          if deed != .retires { _ = try other.delete(movedBefore: .max) }
        } catch {
          seen.withLock { $0.failure = "\(error)" }
        }
      }
      if operation.action == .unlink,
        let number = StoreLayout.logNumber(String(operation.path.split(separator: "/").last ?? "")),
        files.disk.names(in: Self.layout.log).contains(StoreLayout.logName(number)),
        !files.disk.names(in: Self.layout.oldLog).contains(StoreLayout.logName(number))
      {
        seen.withLock { $0.unkept.append(number) }
      }
      return .done
    }
    _ = try retirement(late).retire(below: 3, beneath: 3)
    #expect(Self.names(Self.layout.log, files) == [3])
    let result = seen.withLock { $0 }
    #expect(result.failure == nil)
    // The next round finishes what was left.
    _ = try other.delete(movedBefore: .max)
    #expect(Self.names(Self.layout.oldLog, files).isEmpty)
    return (result.operations, result.unkept)
  }

  @Test(arguments: Deed.allCases)
  func atEachOperation(_ deed: Deed) throws {
    let operations = try race(at: 0, deed).operations
    #expect(operations > 10)
    for n in 1...operations {
      #expect(try race(at: n, deed).unkept == [], "operation \(n)")
    }
  }

  @Test(
    "A segment stays for its readers also where an applier of this machine has it open for writing, and so knows its old date"
  )
  func openForWriting() throws {
    let disk = MemoryDisk()
    let clock = ManualClock()
    let hosts = (1...2 as ClosedRange<UInt64>).map {
      MemoryHost(disk, clock: clock, random: SeededRandom(seed: $0), kind: .network)
    }
    let mine = MemoryFileSystem(disk, clock: clock, client: 1, host: hosts[0])
    let theirs = MemoryFileSystem(disk, clock: clock, client: 2, host: hosts[1])
    mine.makeDirectories([Self.layout.log])
    for number in 1...2 as ClosedRange<UInt64> {
      let file = try mine.create(Self.name(number, in: Self.layout.log), mode: 0o644)
      try file.resize(to: Block.firstLogFrame)
    }
    let led = try mine.open(Self.name(1, in: Self.layout.log), .write)
    _ = try led.status()
    clock.advance(by: .seconds(2))
    let began_ms = clock.wallTime_ms()
    #expect(try retirement(theirs).retire(below: 2, beneath: 2) == [1])
    #expect(try led.status().modified_ms < began_ms)
    #expect(try retirement(mine).delete(movedBefore: began_ms - 1) == 0)
    clock.advance(by: .seconds(1))
    #expect(try retirement(mine).delete(movedBefore: clock.wallTime_ms()) == 1)
    withExtendedLifetime(led) {}
  }

  @Test("Were the second name deleted while the first is there, it would be the last that goes")
  func withoutLooking() throws {
    let operations = try race(at: 0, .deletes).operations
    let unkept = try (1...operations).map {
      try race(at: $0, .deletes, without: .deleteOnlyMoved).unkept
    }
    #expect(unkept.contains([1, 2]))
  }
}
