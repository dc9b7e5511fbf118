import Foundation
import SluiceApplier
import SluiceShared
import Testing

@Suite("A new store's names are durable before anything relies on them")
struct StoreCreationTests {
  /// Notes what directories are synced.
  private final class SyncedDirectories: ForwardingFileSystem, @unchecked Sendable {
    // Sendable: what it has is constant, but for a monitor.
    let synced = Monitor<Set<String>>([])

    override func syncDirectory(_ path: String) throws(StoreError) {
      synced.withLock { _ = $0.insert(path) }
      try super.syncDirectory(path)
    }
  }

  @Test(arguments: [true, false]) func soIsItsDirectorysOwn(isThereBefore: Bool) throws {
    let folder = NSTemporaryDirectory() + "sluice-test-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "/store"
    if isThereBefore {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }
    var environment = Environment.posix()
    let files = SyncedDirectories(environment.fileSystem)
    environment.fileSystem = files
    try StoreCreation().make(at: path, environment: environment)
    let synced = files.synced.withLock { $0 }
    let wanted = [folder, path, path + "/journal", path + "/log", path + "/checkpoints"]
    #expect(synced.isSuperset(of: wanted), "\(synced)")
  }
}
