import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceJournal

@Suite("News that is expected costs one round trip, and is believed no sooner")
struct ExpectedNewsTests {
  let store: LogStore
  init() throws {
    store = try LogStore()
    try store.commit()
    try store.publish()
  }

  /// What another host reads, over a network; `hook` is called before each operation.
  private func reader(_ hook: @escaping FileHook) throws -> (log: Log, follower: LogFollower) {
    var environment = store.environment
    environment.fileSystem = MemoryFileSystem(
      store.disk, clock: store.clock, client: 2, isNetwork: true, hook: hook)
    let log = Log(of: LogStore.handle(environment))
    return (log, LogFollower(at: try log.present()))
  }

  private func follow(_ log: Log, _ follower: inout LogFollower) throws -> UInt64 {
    let present = try log.present(readingFor: follower)
    var commits: UInt64 = 0
    try follower.advance(log, to: present) { (commit, cursor) throws(StoreError) in
      _ = try cursor.section(.outcomes, of: commit.header)
      commits += 1
    }
    return commits
  }

  @Test func beaconAndFrameAreReadTogether() throws {
    let reads = Monitor<[Bool]>([])
    var (log, follower) = try reader { operation in
      reads.withLock { $0.append(operation.isBeside) }
      return .done
    }
    try store.commit()
    try store.publish()
    reads.withLock { $0 = [] }
    #expect(try follow(log, &follower) == 1)
    #expect(reads.withLock { $0 } == [false, true])
    // Where nothing is new it is a read more, and nothing else.
    #expect(try follow(log, &follower) == 0)
    #expect(reads.withLock { $0 } == [false, true, false, true])
  }

  /// What was read of the frames is older than the beacon then: it is read again.
  @Test func whatWasReadTooEarlyIsReadAgain() throws {
    nonisolated(unsafe) let store = store
    let isDue = Monitor(false)
    var (log, follower) = try reader { operation in
      guard operation.isBeside, isDue.withLock({ $0 }) else { return .done }
      isDue.withLock { $0 = false }
      #expect(throws: Never.self) {
        try store.commit()
        try store.publish()
      }
      return .done
    }
    for _ in 0..<3 {
      try store.commit()
      try store.publish()
      isDue.withLock { $0 = true }
      #expect(try follow(log, &follower) == 2)
      #expect(follower.extent.txid == store.holder.extent.txid)
    }
  }

  /// What stands behind the beacon's position is nobody's business.
  @Test func whatIsNotPublishedIsNotFollowed() throws {
    var (log, follower) = try reader { _ in .done }
    try store.commit()
    #expect(try follow(log, &follower) == 0)
    try store.publish()
    try store.commit()
    #expect(try follow(log, &follower) == 1)
  }
}

@Suite("Two reads of one file come together, whoever else reads")
struct TwoReadsTests {
  @Test func bothAreWhatTheyWouldBeAlone() throws {
    let fileSystem = PosixFileSystem()
    let file = try fileSystem.scratchFile()
    let content = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 * 7 / 3) }
    try file.write(content, at: 0)
    ThreadExecutor.shared.concurrently(40) { _ in
      for place in 0..<50 {
        let both = try? file.read(4096, at: Int64(place * 4096), and: 1000, at: Int64(place * 400))
        #expect(both?.0 == Array(content.dropFirst(place * 4096).prefix(4096)))
        #expect(both?.1 == Array(content.dropFirst(place * 400).prefix(1000)))
      }
    }
    // Behind the end there is nothing.
    #expect(try file.read(10, at: 30_000, and: 10, at: 19_995) == ([], content.suffix(5)))
  }
}
