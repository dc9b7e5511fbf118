import Glibc
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceTeardown
import Testing

@testable import sluice

@Suite("Status passes over what is damaged or vanishes of the past")
struct StatusBesideRemovalTests {
  /// Batches 1 and 2, a term each, with a checkpoint between them.
  private func worked() throws -> Workplace {
    let place = try Workplace()
    try place.make(applying: false)
    for sql in ["CREATE TABLE t(a)", "INSERT INTO t VALUES(1)"] {
      try place.submit(sql, "--wait", "durable")
      try #require(try sluice(["apply", place.store, "--drain", "--keep", "forever"]).code == 0)
      if sql.hasPrefix("CREATE") {
        try #require(try sluice(["checkpoint", place.store]).code == 0)
      }
    }
    return place
  }

  @Test("An old checkpoint whose page checksums are damaged")
  func damagedSidecar() throws {
    let place = try worked()
    place.isDamagedOnPurpose = true
    let path = "\(StoreLayout(place.store).checkpoints)/\(StoreLayout.sidecarName(.zero))"
    let fileSystem = PosixFileSystem()
    try fileSystem.setPermissions(path, mode: 0o644)
    try fileSystem.open(path, .write).write([UInt8](repeating: 0xaa, count: 64), at: 0)
    let kept = try #require(try place.status()["kept"])
    #expect(kept["txid"]?.integer == 1)
    #expect(kept["checkpoints"]?.integer == 2)
  }

  @Test("A segment that another host removes while it is read")
  func staleSegment() throws {
    let place = try worked()
    let lowest = "\(StoreLayout(place.store).log)/\(StoreLayout.logName(1))"
    let failed = Monitor(false)
    var environment = Environment.posix()
    environment.fileSystem = HookedFileSystem { operation in
      guard operation.action == .read, operation.path == lowest,
        operation.offset >= Block.header
      else { return .done }
      failed.withLock { $0 = true }
      return .fails(.posix(ESTALE, lowest))
    }
    let status = try StoreStatus.read(place.store, environment)
    #expect(failed.withLock { $0 })
    #expect(status.log.oldest == TxID(1))
  }
}
