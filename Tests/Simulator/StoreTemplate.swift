import CSQLite
import Foundation
import SluiceApplier
package import SluiceFakes
import SluiceJournal
import SluiceShared

/// A store as `init` makes it, with the workload's tables, to be copied for each run.
///
/// Made on the real disk, since SQLite makes the first database there, and then taken into a
/// simulated one.
package struct StoreTemplate: Sendable {
  package let disk: MemoryDisk
  let store: StoreID

  package init(pageSize: Int) throws {
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("sluice-template-\(UInt64.random(in: .min ... .max))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let source = folder.appendingPathComponent("source.sqlite").path
    try StoreTemplate.makeDatabase(source, pageSize: pageSize)
    let path = folder.appendingPathComponent("store").path
    var creation = StoreCreation()
    creation.source = source
    // Every byte is the same each time, the store's id and all checksums that hang on it.
    creation.clockTolerance = nil
    let random = Monitor(SeededRandom(seed: UInt64(pageSize)))
    var environment = Environment.posix()
    environment.clock = ManualClock(wall_ms: 1_700_000_000_000)
    environment.random = { random.withLock { $0.next() } }
    try creation.make(at: path, environment: environment)
    store = try StoreDescription.read(StoreLayout(path), PosixFileSystem()).id
    disk = MemoryDisk()
    try StoreTemplate.take(path, into: disk)
    disk.settle()
  }

  private static func isZero(_ block: [UInt8]) -> Bool {
    block.withUnsafeBytes { bytes in
      bytes.bindMemory(to: UInt64.self).allSatisfy { $0 == 0 }
        && bytes.suffix(bytes.count % 8).allSatisfy { $0 == 0 }
    }
  }

  private static func makeDatabase(_ path: String, pageSize: Int) throws {
    var database: OpaquePointer?
    defer { sqlite3_close(database) }
    // The one with small pages becomes smaller when rows go.
    let settings =
      "PRAGMA page_size = \(pageSize); PRAGMA auto_vacuum = \(pageSize == 512 ? 1 : 0);"
    guard sqlite3_open(path, &database) == SQLITE_OK,
      sqlite3_exec(database, settings + NamedWork.schema, nil, nil, nil) == SQLITE_OK
    else { throw StoreError(.invalid, String(cString: sqlite3_errmsg(database)), path: path) }
  }

  private static func take(_ path: String, into disk: MemoryDisk) throws {
    let real = PosixFileSystem()
    let simulated = MemoryFileSystem(disk)
    simulated.makeDirectories([World.layout.root])
    let names = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
    for name in names.sorted() {
      let status = try real.status("\(path)/\(name)")
      let target = "\(World.layout.root)/\(name)"
      switch status.kind {
      case .directory: simulated.makeDirectories([target])
      case .symbolicLink:
        try simulated.replaceSymbolicLink(
          target, target: try real.readSymbolicLink("\(path)/\(name)"))
      default:
        let file = try real.open("\(path)/\(name)", .fixed)
        let copy = try simulated.create(target, mode: status.permissions)
        try copy.resize(to: status.size)
        var offset: Int64 = 0
        while offset < status.size {
          let block = try file.read(4096, at: offset)
          if !isZero(block) { try copy.write(block, at: offset) }
          offset += 4096
        }
        try copy.sync()
      }
    }
  }
}
