internal import Glibc
package import SluiceJournal
internal import SluiceReader
internal import SluiceSQLite
public import SluiceShared

/// A history that can be executed again: a store's, or that of log segments which were copied elsewhere.
public struct RecordedHistory {
  let log: Log
  let present: Log.Present
  let foreignKeys: Bool
  let extensions: [LoadableExtension]
  /// The checkpoints that have both their files, oldest first.
  let checkpoints: [TxID]
  let environment: Environment
  /// Where the first database was made anew, because nothing has it.
  private let made: MadeDirectory?

  /// A store's. Throws as `PageStore` does.
  public init(store path: String, _ environment: Environment = .posix()) throws(StoreError) {
    let layout = StoreLayout(path)
    let description = try StoreDescription.read(layout, environment.fileSystem)
    log = Log(
      of: StoreHandle(layout: layout, id: description.id, environment: environment))
    present = try log.present()
    foreignKeys = description.foreignKeys
    extensions = try StoreExtensions.open(description, in: layout, environment)
    checkpoints = try CheckpointListing(of: log.store).whole
    self.environment = environment
    made = nil
  }

  /// That of the log segments in `directory`, with checkpoints beside them where there are any, else from
  /// the first commit of a store that began empty. What `store.json` says is taken from a copy beside
  /// them; without one there are no extensions, and `foreignKeys` says what else it would.
  public init(archive directory: String, foreignKeys: Bool, _ environment: Environment = .posix())
    throws(StoreError)
  {
    let fileSystem = environment.fileSystem
    let names = try fileSystem.list(directory)
    let archive = StoreLayout(archive: directory)
    let newest = names.compactMap(StoreLayout.logNumber).max()
    guard let newest else {
      throw StoreError(
        .noSuchStore,
        "there is no log segment; give the directory that the segments were copied to",
        path: directory, errno: ENOENT)
    }
    var description: StoreDescription?
    if names.contains("store.json") {
      description = try StoreDescription.read(archive, fileSystem)
    }
    let id: StoreID
    if let description {
      id = description.id
    } else {
      let path = archive.segment(newest)
      id = try LogSegment.store(path, fileSystem)
    }
    var store = StoreHandle(layout: archive, id: id, environment: environment)
    var checkpoints = try CheckpointListing(of: store).whole
    var made: MadeDirectory?
    if checkpoints.isEmpty {
      let directory = try MadeDirectory(fileSystem, environment.random())
      let layout = StoreLayout(archive: archive.log, checkpoints: directory.path)
      store = StoreHandle(layout: layout, id: id, environment: environment)
      try Self.makeFirst(of: store, description)
      checkpoints = [.zero]
      made = directory
    }
    log = Log(of: store)
    present = try log.beginning()
    self.foreignKeys = description?.foreignKeys ?? foreignKeys
    if let description {
      extensions = try StoreExtensions.open(description, in: archive, environment)
    } else {
      extensions = []
    }
    self.checkpoints = checkpoints
    self.environment = environment
    self.made = made
  }

  var beginsAnew: Bool { made != nil }

  /// How far the history goes.
  package var extent: LogExtent { present.extent }

  /// Makes the database that an empty store begins with.
  private static func makeFirst(of store: StoreHandle, _ description: StoreDescription?)
    throws(StoreError)
  {
    let path = "\(store.layout.checkpoints)/first"
    defer { try? store.fileSystem.unlink(path) }
    let pageSize =
      if let description { description.pageSize } else { try firstPageSize(Log(of: store)) }
    let size = try FirstDatabase(
      path: path, pageSize: pageSize, extensions: [], enforcesForeignKeys: false, note: { _ in }
    ).make(from: nil)
    var described =
      description
      ?? StoreDescription(id: store.id, pageSize: size, lease: .file, foreignKeys: true)
    described.pageSize = size
    try Checkpoint(of: store).adopt(path, described, as: .empty, rejected: 0)
  }

  private static func firstPageSize(_ log: Log) throws(StoreError) -> Int {
    for span in try log.history(after: .zero, upTo: log.beginning()) {
      var cursor = LogCursor(span.segment, to: span.end, environment: log.store.environment)
      while let header = try cursor.next() {
        if header.kind == .commit { return Int(try cursor.commit(header).meta.pageSize) }
      }
    }
    return StoreCreation().pageSize
  }
}

/// A directory on the local disk, removed with this object.
final class MadeDirectory {
  let path: String
  private let fileSystem: any FileSystem

  init(_ fileSystem: any FileSystem, _ number: UInt64) throws(StoreError) {
    self.fileSystem = fileSystem
    path =
      "\(try PosixFileSystem.temporaryDirectory.get())/sluice-\(hexadecimal(number, width: 16))"
    do throws(StoreError) { try fileSystem.makeDirectory(path, mode: 0o700) } catch {
      throw StoreError(
        error.code,
        "no directory for scratch files can be made: \(error.message); set TMPDIR to a directory on a local disk that this user may write to",
        path: path, errno: error.errno)
    }
  }

  deinit {
    for name in (try? fileSystem.list(path)) ?? [] { try? fileSystem.unlink("\(path)/\(name)") }
    rmdir(path)
  }
}
