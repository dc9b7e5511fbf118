internal import CoreMetrics

/// Counts what is asked of another file system.
package struct MeteredFileSystem: FileSystem {
  private let base: any FileSystem
  private let counts: OperationCounts

  package enum Operation: Int, CaseIterable, Sendable {
    case open, create, list, link, unlink, read, write, sync, resize, status, other
  }

  package enum Count: Int, CaseIterable, Sendable {
    case asked, failed
  }

  /// In the metrics of this process.
  package init(_ base: any FileSystem) { (self.base, counts) = (base, .metrics()) }

  /// As `add` does it, called by whichever thread asks.
  package init(
    _ base: any FileSystem, add: @escaping @Sendable (Operation, Count, Int) -> Void
  ) {
    (self.base, counts) = (base, OperationCounts(add: add))
  }

  /// Counts what another process asked.
  package func add(_ number: Int, _ operation: Operation, _ count: Count) {
    counts.add(operation, count, number)
  }

  package func open(_ path: String, _ access: FileAccess) throws(StoreError) -> any File {
    try counts.opened(.open) { () throws(StoreError) in try base.open(path, access) }
  }

  package func create(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    try counts.opened(.create) { () throws(StoreError) in try base.create(path, mode: mode) }
  }

  package func createUncached(_ path: String, mode: UInt32) throws(StoreError) -> any File {
    try counts.opened(.create) { () throws(StoreError) in
      try base.createUncached(path, mode: mode)
    }
  }

  package func list(_ directory: String, where isWanted: (String) -> Bool)
    throws(StoreError) -> [String]
  {
    try counts.count(.list) { () throws(StoreError) in try base.list(directory, where: isWanted) }
  }

  package func link(_ path: String, to newPath: String) throws(StoreError) {
    try counts.count(.link) { () throws(StoreError) in try base.link(path, to: newPath) }
  }

  package func unlink(_ path: String) throws(StoreError) {
    try counts.count(.unlink) { () throws(StoreError) in try base.unlink(path) }
  }

  package func makeDirectory(_ path: String, mode: UInt32) throws(StoreError) {
    try counts.count(.other) { () throws(StoreError) in try base.makeDirectory(path, mode: mode) }
  }

  package func giveToOwner(_ directory: String) throws(StoreError) {
    try counts.count(.other) { () throws(StoreError) in try base.giveToOwner(directory) }
  }

  package func proveWritable(_ path: String) throws(StoreError) {
    try counts.count(.status) { () throws(StoreError) in try base.proveWritable(path) }
  }

  package func setPermissions(_ path: String, mode: UInt32) throws(StoreError) {
    try counts.count(.other) { () throws(StoreError) in try base.setPermissions(path, mode: mode) }
  }

  package func syncDirectory(_ path: String) throws(StoreError) {
    try counts.count(.sync) { () throws(StoreError) in try base.syncDirectory(path) }
  }

  package func status(_ path: String) throws(StoreError) -> FileStatus {
    try counts.count(.status) { () throws(StoreError) in try base.status(path) }
  }

  package func replaceSymbolicLink(_ path: String, target: String) throws(StoreError) {
    try counts.count(.other) { () throws(StoreError) in
      try base.replaceSymbolicLink(path, target: target)
    }
  }

  package func readSymbolicLink(_ path: String) throws(StoreError) -> String {
    try counts.count(.other) { () throws(StoreError) in try base.readSymbolicLink(path) }
  }

  package func isNetwork(_ path: String) throws(StoreError) -> Bool { try base.isNetwork(path) }

  package func room(in directory: String) -> DiskRoom? {
    try? counts.count(.status) { () throws(StoreError) in base.room(in: directory) }
  }

  /// On the local disk: nobody asks what it costs.
  package func scratchFile() throws(StoreError) -> any File { try base.scratchFile() }

  package var scratchDiskBytes: Int64? { base.scratchDiskBytes }

  package var openFileLimit: Int { base.openFileLimit }
}

private final class MeteredFile: File {
  private let base: any File
  private let counts: OperationCounts

  init(_ base: any File, _ counts: OperationCounts) {
    self.base = base
    self.counts = counts
  }

  var path: String { base.path }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  {
    try counts.count(.read) { () throws(StoreError) in try base.read(into: buffer, at: offset) }
  }

  func read(
    into first: UnsafeMutableRawBufferPointer, at offset: Int64,
    and second: UnsafeMutableRawBufferPointer, at secondOffset: Int64
  ) throws(StoreError) -> (Int, Int) {
    try counts.count(.read) { () throws(StoreError) in
      try counts.count(.read) { () throws(StoreError) in
        try base.read(into: first, at: offset, and: second, at: secondOffset)
      }
    }
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
    try counts.count(.write) { () throws(StoreError) in try base.write(bytes, at: offset) }
  }

  func beginWriteback(_ count: Int, at offset: Int64) { base.beginWriteback(count, at: offset) }

  func sync() throws(StoreError) {
    try counts.count(.sync) { () throws(StoreError) in try base.sync() }
  }

  func resize(to size: Int64) throws(StoreError) {
    try counts.count(.resize) { () throws(StoreError) in try base.resize(to: size) }
  }

  func status() throws(StoreError) -> FileStatus {
    try counts.count(.status) { () throws(StoreError) in try base.status() }
  }

  func freshStatus() throws(StoreError) -> FileStatus {
    try counts.count(.status) { () throws(StoreError) in try base.freshStatus() }
  }

  func nextData(from offset: Int64) throws(StoreError) -> Int64? {
    try base.nextData(from: offset)
  }
}

/// Where each operation is counted.
private struct OperationCounts: Sendable {
  typealias Operation = MeteredFileSystem.Operation
  let add: @Sendable (Operation, MeteredFileSystem.Count, Int) -> Void

  func count<R>(_ operation: Operation, _ body: () throws(StoreError) -> R) throws(StoreError) -> R
  {
    add(operation, .asked, 1)
    do throws(StoreError) { return try body() } catch {
      add(operation, .failed, 1)
      throw error
    }
  }

  func opened(_ operation: Operation, _ body: () throws(StoreError) -> any File)
    throws(StoreError) -> any File
  {
    MeteredFile(try count(operation, body), self)
  }
}

extension OperationCounts {
  private static func name(of operation: Operation) -> String {
    switch operation {
    case .open: "open"
    case .create: "create"
    case .list: "list"
    case .link: "link"
    case .unlink: "unlink"
    case .read: "read"
    case .write: "write"
    case .sync: "sync"
    case .resize: "resize"
    case .status: "status"
    case .other: "other"
    }
  }

  /// In this process's metrics.
  static func metrics() -> OperationCounts {
    func counters(_ measure: Measure) -> [Counter] {
      Operation.allCases.map { measure.counter([("operation", name(of: $0))]) }
    }
    let (asked, failed) = (counters(.fileOperations), counters(.fileErrors))
    return OperationCounts { operation, count, number in
      let counters = count == .asked ? asked : failed
      counters[operation.rawValue].increment(by: number)
    }
  }
}
