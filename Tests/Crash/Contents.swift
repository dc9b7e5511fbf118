import SluiceApplier
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared

/// Looks at a store's files and at its database, and says what is wrong with them.
struct Contents {
  let layout: StoreLayout
  let environment: Environment

  // MARK: the database

  /// Whether the newest snapshot is what the model says, page by page and row by row.
  func compareDatabase(with model: Model) throws -> [String] {
    let store = try PageStore(path: layout.root, environment: environment)
    let database = Database(store, executor: environment.executor)
    return try database.read(.latest) { transaction in
      var found: [String] = []
      if transaction.txid != model.last {
        found.append("a read sees batch \(transaction.txid), the history ends with \(model.last)")
      }
      if try checksum(of: transaction.snapshot) != transaction.snapshot.checksum {
        found.append("the pages do not have the commit's checksum as of \(transaction.txid)")
      }
      found += try compare(with: model) { try transaction.query($0) }
      return found
    }
  }

  private func checksum(of snapshot: Snapshot) throws(StoreError) -> DatabaseChecksum {
    var checksum = DatabaseChecksum()
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: snapshot.pageSize, alignment: Block.size)
    defer { buffer.deallocate() }
    for page in 1...max(1, snapshot.pageCount) {
      try snapshot.read(page: page, into: buffer)
      checksum.toggle(page: page, crc: crc32c(UnsafeRawBufferPointer(buffer)))
    }
    return checksum
  }

  private func compare(with model: Model, _ query: (String) throws -> [[SQLValue]]) throws
    -> [String]
  {
    var found: [String] = []
    let integrity = try query("PRAGMA integrity_check")
    if integrity != [[.text("ok")]] { found.append("integrity_check: \(integrity)") }
    let balances = try query("SELECT balance FROM accounts ORDER BY id").map { $0[0].integer }
    if balances != model.balances { found.append("the balances are not what the history says") }
    let transfers = try query(
      "SELECT worker, number, source, target, amount FROM transfers ORDER BY rowid"
    ).map { row in
      Model.Transfer(
        name: name(row), source: row[2].integer, target: row[3].integer, amount: row[4].integer)
    }
    if transfers != model.transfers {
      found.append(
        "\(transfers.count) transfers, \(model.transfers.count) are in the history, or in another order"
      )
    }
    let events = try query(
      "SELECT worker, number, event, length(filler) FROM events ORDER BY rowid"
    ).map { Model.Event(name: name($0), event: $0[2].integer, fillerBytes: $0[3].integer) }
    if events != model.events {
      found.append(
        "\(events.count) events, \(model.events.count) are in the history, or in another order")
    }
    let rejected = try query("SELECT count(*) FROM _sluice_rejected").first?[0].integer
    if rejected != model.rejected {
      found.append("\(rejected ?? -1) batches are recorded as rejected, not \(model.rejected)")
    }
    return found
  }

  private func name(_ row: [SQLValue]) -> DeedName {
    DeedName(worker: Int(row[0].integer), number: Int(row[1].integer))
  }

  // MARK: checkpoints

  /// `current.sqlite`, read as the plain SQLite database that it is.
  func checkCurrent(_ model: Model) throws -> [String] {
    let target = try environment.fileSystem.readSymbolicLink(layout.current)
    let name = target.split(separator: "/").last.map(String.init) ?? ""
    guard let txid = StoreLayout.checkpointTxID(name) else {
      return ["current.sqlite points to \(target)"]
    }
    return checkCheckpoint(txid, layout.current, model)
  }

  private func checkCheckpoint(_ txid: TxID, _ path: String, _ model: Model) -> [String] {
    do { return try compareCheckpoint(txid, path, model) } catch { return ["\(path): \(error)"] }
  }

  private func compareCheckpoint(_ txid: TxID, _ path: String, _ model: Model) throws -> [String] {
    let database = try Connection(
      path: "file:\(path)?mode=ro&immutable=1", flags: [.readOnly, .uri, .noMutex])
    let integrity = try database.query("PRAGMA integrity_check")
    var found = integrity == [[.text("ok")]] ? [] : ["\(path): \(integrity)"]
    if txid == .zero { return found }
    let digest = Digest(try database.query(Digest.query).first ?? [])
    if digest != model.digest(txid) {
      found.append(
        "\(path) has \(digest), as of batch \(txid) it is \(model.digest(txid) ?? digest)")
    }
    if txid == model.last { found += try compare(with: model) { try database.query($0) } }
    return found
  }

  /// Every checkpoint: its content, and each page against its sidecar. Returns how many there are.
  func checkCheckpoints(_ model: Model, _ found: inout [String]) throws -> Int {
    let fileSystem = environment.fileSystem
    let id = try StoreDescription.read(layout, fileSystem).id
    let names = try fileSystem.list(layout.checkpoints)
    let complete = names.compactMap(StoreLayout.checkpointTxID).filter {
      names.contains(StoreLayout.sidecarName($0))
    }
    for txid in complete {
      let path = layout.database(of: txid)
      found += checkCheckpoint(txid, path, model)
      let sidecar = try CheckpointSidecar(
        path: layout.sidecar(of: txid), store: id,
        fileSystem: fileSystem)
      let file = try fileSystem.open(path, .fixed)
      let pageSize = Int(sidecar.header.pageSize)
      for page in 1...max(1, sidecar.header.pageCount) {
        let bytes = try file.read(pageSize, at: Int64(page - 1) * Int64(pageSize))
        if try bytes.count != pageSize || crc32c(bytes) != sidecar.crc(ofPage: page) {
          found.append("\(path): page \(page) is not what its sidecar says")
        }
      }
    }
    return complete.count
  }

  // MARK: files

  /// Temporary files that somebody left.
  func temporaries() throws -> [String] {
    try [
      layout.root, layout.log, layout.checkpoints, layout.journal, layout.quarantine,
    ].flatMap { directory in
      try environment.fileSystem.list(directory).filter { $0.hasSuffix(".tmp") }
        .map { "\(directory)/\($0)" }
    }
  }

  func journalSegments() throws -> [JournalSegmentID] {
    try environment.fileSystem.list(layout.journal).compactMap(StoreLayout.journalSegment)
  }

  func quarantined() throws -> [JournalSegmentID] {
    try environment.fileSystem.list(layout.quarantine).compactMap(StoreLayout.journalSegment)
  }
}
