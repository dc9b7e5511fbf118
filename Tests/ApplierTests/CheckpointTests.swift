import Foundation
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import Testing

@Suite("A checkpoint that somebody made already stays as it is")
struct CheckpointTests {
  private let store: TestStore
  private let files: OverlookingFileSystem
  private let checkpoint: Checkpoint
  private let snapshot: PublishedSnapshot
  private let path: String

  init() throws {
    store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    files = OverlookingFileSystem(store.environment.fileSystem)
    var environment = store.environment
    environment.fileSystem = files
    let pages = try PageStore(path: store.path, environment: environment)
    snapshot = try pages.published(.latest)
    checkpoint = Checkpoint(of: pages.handle)
    path = store.layout.database(of: snapshot.txid)
    try checkpoint.make(of: snapshot)
  }

  /// Which file has the name.
  private func fileNumber() throws -> UInt64 {
    try #require(
      try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? UInt64)
  }

  @Test func whenAListingMissesItsSidecar() throws {
    let made = try fileNumber()
    files.overlooks = { $0.hasSuffix(".pages") }
    try checkpoint.make(of: snapshot)
    #expect(files.overlooks == nil)
    #expect(try fileNumber() == made)
  }

  @Test func butADatabaseWithoutSidecarIsReplaced() throws {
    let made = try fileNumber()
    // While it is open its number is not given to another.
    let open = try store.environment.fileSystem.open(path, .shared)
    defer { withExtendedLifetime(open) {} }
    let sidecar = store.layout.sidecar(of: snapshot.txid)
    try store.environment.fileSystem.unlink(sidecar)
    try checkpoint.make(of: snapshot)
    #expect(try fileNumber() != made)
    #expect(try checkpoint.newest(upTo: store.present().published) == snapshot.txid)
  }
}
