import Foundation
import Glibc
import Logging
import SluiceApplier
import SluiceShared
import SluiceTeardown
import Testing

@testable import SluiceFakes

@Suite("A new store's names are durable before anything relies on them")
struct StoreCreationTests {
  /// Notes what directories are synced.
  private final class SyncedDirectories: HookedFileSystem, @unchecked Sendable {
    // Sendable: what it has is constant, but for a monitor.
    let synced = Monitor<Set<String>>([])

    override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
      if operation.action == .syncDirectory {
        synced.withLock { _ = $0.insert(operation.path) }
      }
      return .done
    }
  }

  @Test(arguments: [true, false]) func soIsItsDirectorysOwn(isThereBefore: Bool) throws {
    let folder = NSTemporaryDirectory() + "sluice-test-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer {
      StoreTeardown(at: #_sourceLocation).verifyStores(in: folder)
      try? FileManager.default.removeItem(atPath: folder)
    }
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

@Suite("An init that fails removes what it made, and nothing else")
struct FailedCreationTests {
  /// Fails the n-th call that changes something, and counts them.
  private final class FailingOnce: HookedFileSystem, @unchecked Sendable {
    // Sendable: the count is in a monitor.
    private let left: Monitor<Int>
    init(_ base: any FileSystem, at n: Int) {
      left = Monitor(n)
      super.init(base)
    }
    var isReached: Bool { left.withLock { $0 <= 0 } }
    override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
      switch operation.action {
      case .create, .write, .link, .makeDirectory, .setPermissions, .syncDirectory,
        .replaceSymbolicLink, .scratchFile:
        break
      default: return .done
      }
      let fails = left.withLock { left in
        left -= 1
        return left == 0
      }
      if fails { throw StoreError(.io, "the device failed", path: operation.path, errno: EIO) }
      return .done
    }
  }

  @Test(arguments: [true, false]) func atEachCall(isThereBefore: Bool) throws {
    let folder = NSTemporaryDirectory() + "sluice-test-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer {
      StoreTeardown(at: #_sourceLocation).verifyStores(in: folder)
      try? FileManager.default.removeItem(atPath: folder)
    }
    let file = try PlainFile("CREATE TABLE t(a); INSERT INTO t VALUES(1)")
    var creation = StoreCreation()
    creation.source = file.path
    var failures = 0
    for n in 1...500 {
      let path = "\(folder)/store\(n)"
      if isThereBefore {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
      }
      var environment = Environment.posix()
      let files = FailingOnce(environment.fileSystem, at: n)
      environment.fileSystem = files
      do throws(StoreError) {
        try creation.make(at: path, environment: environment)
        if !files.isReached {
          #expect(failures > 20)
          return
        }
        // A call whose failure is nobody's concern.
        continue
      } catch {
        failures += 1
        #expect(error.errno == EIO, "\(error)")
      }
      // Once log segment 1 is there it is a store, and stays.
      let log = (try? FileManager.default.contentsOfDirectory(atPath: path + "/log")) ?? []
      if log.contains("000000000001.log") {
        #expect(try Applies(path).isStore)
      } else if isThereBefore {
        #expect(try FileManager.default.contentsOfDirectory(atPath: path) == [])
        try creation.make(at: path)
      } else {
        #expect(!FileManager.default.fileExists(atPath: path), "after call \(n)")
        try creation.make(at: path)
      }
    }
    Issue.record("making a store took more than 500 calls")
  }

  /// Whether an applier works on the store at a path.
  private struct Applies {
    let isStore: Bool
    init(_ path: String) throws {
      var options = ApplierOptions(holder: "test")
      options.drains = true
      options.logger.logLevel = .critical
      try Applier(path: path, options: options).run(shouldStop: { false })
      isStore = true
    }
  }

  @Test func whatWasThereStays() throws {
    let folder = NSTemporaryDirectory() + "sluice-test-\(UUID().uuidString)"
    try FileManager.default.createDirectory(
      atPath: folder + "/log", withIntermediateDirectories: true)
    try Data("mine".utf8).write(to: URL(fileURLWithPath: folder + "/log/000000000001.log"))
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(throws: StoreError.self) { try StoreCreation().make(at: folder) }
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder + "/log") == [
        "000000000001.log"
      ])
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["log"])
  }
}
