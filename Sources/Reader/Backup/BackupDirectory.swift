internal import Glibc
internal import SluiceJournal
internal import SluiceShared

/// A directory that a backup is written into, and the state in which it is.
///
/// What is there at any moment, and after a crash, is nothing or a whole copy: `store.json`, without which
/// nothing is a store, comes last the first time; later on the log becomes longer as a log does, a beacon
/// after its frames, a segment's name after its content; checkpoints come behind the log that they need.
/// Nothing is ever removed of a copy that was whole once, which its mark says; and before it is known whose copy
/// it is, nothing is changed.
final class BackupDirectory {
  /// The name of its mark.
  static let markName = "backup.json"

  /// The copy, which has the id of what it is a copy of.
  private let store: StoreHandle
  /// Held while this is written to.
  private let mark: CopyMark
  var layout: StoreLayout { store.layout }
  private var environment: Environment { store.environment }
  private var fileSystem: any FileSystem { store.fileSystem }

  /// Opens or makes `path` for a copy of `source`. Throws `.invalid` where there is something that is no
  /// copy, `.foreign` where it is another store's, `.busy` while another process writes to it.
  init(_ path: String, of source: StoreHandle) throws(StoreError) {
    let layout = StoreLayout(path)
    store = StoreHandle(layout: layout, id: source.id, environment: source.environment)
    let fileSystem = source.fileSystem
    do throws(StoreError) {
      try fileSystem.makeDirectory(layout.root, mode: 0o755)
      try fileSystem.syncDirectory(Restoration.parts(layout.root).directory)
    } catch {
      guard error.isExistingFile else { throw error }
    }
    let names = Set(try fileSystem.list(layout.root))
    guard names.isEmpty || names.contains(Self.markName) else {
      throw StoreError(
        .invalid,
        "the directory is not empty, and no backup; give a new one, or one that `sluice backup` has made",
        path: layout.root)
    }
    if names.contains("store.json") {
      let here = try fileSystem.status(layout.description)
      let there = try fileSystem.status(source.layout.description)
      guard here.inode != there.inode || here.modified_ms != there.modified_ms else {
        throw StoreError(
          .invalid, "the store cannot be copied into itself; choose another directory",
          path: layout.root)
      }
    }
    mark = try CopyMark(
      "\(layout.root)/\(Self.markName)", of: source.id,
      isAlone: names.isSubset(of: [Self.markName]), fileSystem)
  }

  /// What the copy has, and where it ends.
  struct Whole {
    let segment: LogSegment
    let beacon: Beacon
    /// The segment before it.
    let predecessor: UInt64?
    let checkpoints: Set<TxID>
  }

  /// What is there; nil where nothing is yet, or no whole copy. Nothing is changed.
  ///
  /// Throws `.damaged` where there was a whole copy, and `store.json` is gone.
  func whole() throws(StoreError) -> Whole? {
    guard try fileSystem.list(layout.root).contains("store.json") else {
      let isEmpty = try parts().isEmpty
      guard mark.isWhole == false || isEmpty else {
        throw StoreError(
          .damaged,
          "this copy was whole, and store.json is missing in it, so nothing of it is touched; copy the store's store.json here and begin again, or back up into a new directory",
          path: layout.description)
      }
      return nil
    }
    let found = try StoreDescription.read(layout, fileSystem).id
    guard found == store.id else {
      throw StoreError(
        .foreign,
        "store.json of the copy is that of store \(found), and not of \(store.id); back up into a new directory",
        path: layout.description)
    }
    let log = Log(of: store)
    let present = try log.present()
    guard !present.isClosed else { throw isLed(present.segment) }
    return Whole(
      segment: present.segment, beacon: present.beacon,
      predecessor: try log.listed().first { $0 < present.segment.number },
      checkpoints: Set(CheckpointListing(try list(layout.checkpoints)).whole))
  }

  /// Takes away what an earlier process left half made of a copy that is whole, which is gone on with now.
  func tidy(_ whole: Whole) throws(StoreError) {
    // Its predecessor is closed behind it.
    if let before = whole.predecessor { try close(before) }
    let listing = CheckpointListing(try list(layout.checkpoints))
    let half = listing.sidecarsAlone.filter(listing.unfinished.contains)
    // Without the temporary database beside it, page checksums are what is left of a checkpoint that was lost.
    for txid in half {
      try fileSystem.unlink(layout.sidecar(of: txid))
    }
    if !half.isEmpty { try fileSystem.syncDirectory(layout.checkpoints) }
    try removeTemporaries()
  }

  /// Takes away what an earlier process left of a copy that it did not come to the end of: nobody was told that
  /// it is anything.
  func clear() throws(StoreError) {
    // What was whole once and was emptied since is begun anew.
    if try parts().isEmpty { try mark.begin() }
    guard mark.isWhole == false else { return }
    for path in try parts() { try fileSystem.unlink(path) }
    try removeTemporaries()
  }

  /// Segments and checkpoints.
  private func parts() throws(StoreError) -> [String] {
    var found: [String] = []
    for directory in [layout.log, layout.checkpoints] {
      found += try list(directory).filter(Self.isPart).map { "\(directory)/\($0)" }
    }
    return found
  }

  private static func isPart(_ name: String) -> Bool {
    StoreLayout.logNumber(name) != nil || StoreLayout.checkpointTxID(name) != nil
      || StoreLayout.sidecarTxID(name) != nil
  }

  private func removeTemporaries() throws(StoreError) {
    for directory in [layout.root, layout.log, layout.checkpoints, layout.extensions] {
      for name in try list(directory) {
        guard let target = StoreLayout.temporaryTarget(name) else { continue }
        let isOurs =
          directory == layout.extensions || Self.isPart(target)
          || ["store.json", "current.sqlite"].contains(target)
        if isOurs { try fileSystem.unlink("\(directory)/\(name)") }
      }
    }
  }

  private func list(_ directory: String) throws(StoreError) -> [String] {
    do throws(StoreError) { return try fileSystem.list(directory) } catch {
      guard error.isNoSuchFile else { throw error }
      return []
    }
  }

  // MARK: the first time

  func makeDirectories(of content: BackupContent) throws(StoreError) {
    for (name, mode) in content.directories {
      do throws(StoreError) {
        try fileSystem.makeDirectory("\(layout.root)/\(name)", mode: mode)
      } catch {
        guard error.isExistingFile else { throw error }
      }
    }
  }

  func write(extensions: [(name: String, bytes: [UInt8])]) throws(StoreError) {
    guard !extensions.isEmpty else { return }
    for one in extensions {
      let path = "\(layout.extensions)/\(one.name)"
      // From a backup that did not come to its end; its name is its content's.
      if let there = try? fileSystem.open(path, .fixed).read(one.bytes.count + 1, at: 0) {
        if there == one.bytes { continue }
        try fileSystem.unlink(path)
      }
      try place(path) { (temporary) throws(StoreError) in
        let file = try fileSystem.create(temporary, mode: 0o444)
        try file.write(one.bytes, at: 0)
        try file.sync()
      }
    }
    try fileSystem.syncDirectory(layout.extensions)
  }

  /// `store.json`, the last of all names: from here on it is a store.
  func describe(_ bytes: [UInt8]) throws(StoreError) {
    if let there = try? fileSystem.open(layout.description, .shared).read(64 << 10, at: 0) {
      guard there != bytes else { return }
      let temporary =
        "\(layout.root)/\(StoreLayout.temporaryName("store.json", environment.random()))"
      let file = try fileSystem.create(temporary, mode: 0o444)
      try file.write(bytes, at: 0)
      try file.sync()
      try PosixFileSystem.replace(layout.description, with: temporary)
    } else {
      for directory in [layout.journal, layout.log, layout.checkpoints, layout.root] {
        try fileSystem.syncDirectory(directory)
      }
      try place(layout.description) { (temporary) throws(StoreError) in
        let file = try fileSystem.create(temporary, mode: 0o444)
        try file.write(bytes, at: 0)
        try file.sync()
      }
    }
    try fileSystem.syncDirectory(layout.root)
  }

  /// Makes all of it durable, also what an earlier process wrote that did not come to that, and says then that
  /// it is whole. `segments`: those that were written last.
  func finish(_ segments: [UInt64]) throws(StoreError) {
    if environment.makes(.settledCopy) {
      for number in segments {
        try fileSystem.open(layout.segment(number), .write).sync()
      }
      for directory in [layout.log, layout.checkpoints, layout.root] {
        try fileSystem.syncDirectory(directory)
      }
      do throws(StoreError) {
        try fileSystem.syncDirectory(Restoration.parts(layout.root).directory)
      } catch {
        // Who may not read there has not made the directory.
        guard [EACCES, EPERM].contains(error.errno) else { throw error }
      }
    }
    try mark.finish()
  }

  // MARK: what grows

  func path(of segment: LogSegmentCopy) -> String { "\(layout.log)/\(segment.name)" }

  /// Adds a segment behind `predecessor`, which is closed then.
  func add(
    _ segment: LogSegmentCopy, after predecessor: UInt64?,
    onProgress: (Int64) throws(StoreError) -> Void
  ) throws(StoreError) {
    let path = path(of: segment)
    do throws(StoreError) {
      try place(path) { (temporary) throws(StoreError) in
        try segment.write(to: temporary, closedBy: nil, onProgress: onProgress)
      }
    } catch {
      guard error.isExistingFile else { throw error }
      let there = try LogSegment(path: path, store: store.id, environment: environment)
      throw isLed(there)
    }
    try fileSystem.syncDirectory(layout.log)
    if let predecessor { try close(predecessor) }
  }

  private func close(_ number: UInt64) throws(StoreError) {
    let path = layout.segment(number)
    let file = try fileSystem.open(path, .write)
    guard try !Mark.isClosed(file) else { return }
    try Mark.write(to: file, by: "backup", time_ms: environment.clock.wallTime_ms())
  }

  /// Points `current.sqlite` to the newest checkpoint.
  func point(to txid: TxID) throws(StoreError) {
    let target = StoreLayout.currentTarget(txid)
    let present = try? fileSystem.readSymbolicLink(layout.current)
    guard present != target else { return }
    try fileSystem.replaceSymbolicLink(layout.current, target: target)
    try fileSystem.syncDirectory(layout.root)
  }

  /// Has `write` make a file under another name, and gives it its own when that is whole.
  private func place(
    _ path: String, _ write: (String) throws(StoreError) -> Void
  ) throws(StoreError) {
    let temporary = StoreLayout.temporaryName(path, environment.random())
    defer { try? fileSystem.unlink(temporary) }
    try write(temporary)
    try fileSystem.link(temporary, to: path)
  }

  func isLed(_ segment: LogSegment) -> StoreError {
    StoreError(
      .foreign,
      "the copy has gone its own way: an applier leads it, or did; back up into a new directory",
      path: segment.file.path)
  }
}
