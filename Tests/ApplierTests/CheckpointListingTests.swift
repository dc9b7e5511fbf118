import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceTeardown
import Testing

@testable import SluiceApplier

/// Checkpoints come and go while a directory is listed.
@Suite("A listing that shows no checkpoint is no proof that there is none")
struct CheckpointListingTests {
  private func damages(_ store: TestStore, _ overlooks: @escaping (String) -> Bool) throws
    -> [Verification.Damage]
  {
    let files = OverlookingFileSystem(store.environment.fileSystem)
    files.overlooks = overlooks
    var environment = store.environment
    environment.fileSystem = files
    var damages: [Verification.Damage] = []
    _ = try Verification(store: store.path, environment) { damages.append($0) }.run()
    return damages
  }

  @Test("It is looked at again before the store is said to have none")
  func overlooked() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    let found = try damages(store) {
      StoreLayout.checkpointTxID($0) != nil || StoreLayout.sidecarTxID($0) != nil
    }
    #expect(found == [])
  }

  @Test("Where there is none the store is damaged, whatever else is whole")
  func none() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(a)")
    store.isDamagedOnPurpose = true
    for name in try store.names(store.layout.checkpoints) {
      try store.environment.fileSystem.unlink("\(store.layout.checkpoints)/\(name)")
    }
    let found = try damages(store) { _ in false }
    #expect(found.contains { $0.what == "the store has no checkpoint" }, "\(found)")
  }
}
