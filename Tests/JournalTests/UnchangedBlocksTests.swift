import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceJournal

@Suite("On a file system of its own a host sees by a few bytes whether anything is new")
struct UnchangedBlocksTests {
  @Test func theFirstBytesOfBlocksShowEachBeaconAndTheMark() throws {
    let store = try LogStore()
    var blind = store.environment
    blind.omittedChecks = [.lookBehindMark]
    let blindLog = Log(of: LogStore.handle(blind))
    for number in 1...5 {
      try store.commit()
      if number == 3 { try store.publish() }
      try store.publish()
      for log in [store.log, blindLog] {
        for _ in 0..<2 { #expect(try log.present().extent.txid == TxID(UInt64(number))) }
      }
    }
    try store.holder.publish(store.holder.beacon(.released, ApplierStatus(), time_ms: 0))
    for _ in 0..<2 { #expect(try store.log.present().beacon.state == .released) }
    let other = try #require(try store.takeOver()).holder
    try LogStore.commit(behind: other)
    try other.publish(other.beacon(.active, ApplierStatus(), time_ms: 0))
    #expect(try store.log.present().extent.txid == TxID(6))
    #expect(try blindLog.present().extent.txid == TxID(5))
  }

  /// A block that was torn is looked at as a whole by whoever did not see what it was before.
  @Test func aTornBeaconIsNotPassedOverByItsFirstBytes() throws {
    let store = try LogStore()
    try store.commit()
    try store.publish()
    let path = "\(LogStore.layout.log)/\(StoreLayout.logName(1))"
    let due = try Beacon.slot(of: store.log.present().beacon.counter + 1)
    let file = try store.environment.fileSystem.open(path, .write)
    try file.write([UInt8](repeating: 7, count: 512), at: due + 512)
    let later = Log(of: LogStore.handle(store.environment))
    #expect(throws: StoreError.self) { try later.present(waits: false) }
  }
}
