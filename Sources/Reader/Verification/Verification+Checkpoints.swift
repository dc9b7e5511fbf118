internal import SluiceJournal
internal import SluiceShared

extension Verification {
  /// Of none where the directory is missing.
  func listedCheckpoints() throws(StoreError) -> CheckpointListing {
    var names: [String] = []
    do throws(StoreError) { names = try fileSystem.list(layout.checkpoints) } catch {
      guard error.isNoSuchFile else { throw error }
    }
    return CheckpointListing(names)
  }

  func database(_ txid: TxID) -> String { layout.database(of: txid) }

  func sidecar(_ txid: TxID) -> String { layout.sidecar(of: txid) }

  /// 0 where the name is gone.
  func size(of path: String) throws(StoreError) -> Int64 {
    do throws(StoreError) { return try fileSystem.status(path).size } catch {
      guard error.isNoSuchFile else { throw error }
      return 0
    }
  }

  func nameHalves(of checkpoints: CheckpointListing, _ lines: BegunLines) throws(StoreError) {
    // One may just be made, and a listing may miss a name that was made while it ran.
    guard !(checkpoints.databasesAlone.isEmpty && checkpoints.sidecarsAlone.isEmpty) else {
      return
    }
    let now = try listedCheckpoints()
    for txid in checkpoints.databasesAlone
    where now.databasesAlone.contains(txid) && isBegun(txid, lines, database(txid)) {
      report(
        database(txid), nil, "a checkpoint's page checksums are missing, so it is none",
        remains: isGiven(txid))
    }
    // Retention removes the database first, and never of the newest two: what is left of an older one was
    // being removed.
    let superseded = now.whole.filter(lines.include).dropLast().last ?? .zero
    for txid in checkpoints.sidecarsAlone
    where now.sidecarsAlone.contains(txid) && txid > superseded && !now.unfinished.contains(txid)
      && isBegun(txid, lines, sidecar(txid))
    {
      report(
        sidecar(txid), nil, "page checksums have no database beside them: a checkpoint is missing",
        remains: isGiven(txid))
    }
  }

  /// False, and told, where the file at `path` is of a line that never began.
  func isBegun(_ txid: TxID, _ lines: BegunLines, _ path: String) -> Bool {
    guard !lines.include(txid) else { return true }
    report(
      path, nil,
      "this checkpoint is of a part of the history that never began: a repair was cut off",
      remains: "nobody reads it; `sluice repair` moves it away")
    return false
  }

  private func isGiven(_ txid: TxID) -> String {
    guard let other = summary.checkpoints.last(where: { $0 < txid }) else {
      return "no earlier checkpoint is whole"
    }
    return
      "the same is in checkpoint \(other) and the log behind it, where that is whole; make a new one with `sluice checkpoint`, and remove this"
  }

  /// Reads a checkpoint's pages; false where anything in it is damaged.
  func verify(checkpoint txid: TxID, _ store: StoreID) throws(StoreError) -> Bool {
    let before = summary.damages
    do throws(StoreError) {
      let sums = try CheckpointSidecar(
        path: sidecar(txid), store: store, fileSystem: fileSystem)
      guard sums.header.extent.txid == txid else {
        report(
          sums.path, 32,
          "a checkpoint's page checksums are those of batch \(sums.header.extent.txid)",
          remains: isGiven(txid))
        return false
      }
      try verifyPages(txid, sums)
    } catch {
      // Retention may have removed it, here or on another host.
      if error.isGoneOrLost,
        try !listedCheckpoints().whole.contains(txid)
      {
        return false
      }
      guard [.damaged, .foreign, .unsupported].contains(error.code) else { throw error }
      report(error, remains: isGiven(txid))
    }
    return summary.damages == before
  }

  private func verifyPages(_ txid: TxID, _ sums: CheckpointSidecar) throws(StoreError) {
    let header = sums.header
    let size = Int(header.pageSize)
    let file = try fileSystem.open(database(txid), .shared)
    let length = try file.status().size
    let expected = Int64(header.pageCount) * Int64(size)
    if length != expected {
      report(
        file.path, min(length, expected),
        "a checkpoint has \(length) bytes, and its page checksums are for \(expected)",
        remains: isGiven(txid))
    }
    let lockByte = DatabaseChecksum.lockBytePage(pageSize: size)
    var checksum = DatabaseChecksum()
    var page: UInt32 = 1
    var unreadable: ClosedRange<UInt32>?
    let perPiece = UInt32((1 << 20) / size)
    // No more than there are, whatever it says.
    let last = UInt32(clamping: min(length, expected) / Int64(size))
    while page <= last {
      let count = min(perPiece, last - page + 1)
      let bytes = try file.read(Int(count) * size, at: Int64(page - 1) * Int64(size))
      read(bytes.count)
      for i in 0..<count {
        let number = page + i
        let start = Int(i) * size
        let found =
          start + size <= bytes.count
          ? bytes.withUnsafeBytes {
            crc32c(UnsafeRawBufferPointer(rebasing: $0[start..<start + size]))
          } : nil
        if unreadable?.contains(number) == true { continue }
        let crc: UInt32
        do throws(StoreError) { crc = try sums.crc(ofPage: number) } catch {
          guard error.code == .damaged else { throw error }
          unreadable = number...sums.lastPage(besideChecksumOf: number)
          report(error, remains: isGiven(txid))
          continue
        }
        if number != lockByte { checksum.toggle(page: number, crc: crc) }
        if found != crc, start + size <= bytes.count {
          report(
            file.path, Int64(number - 1) * Int64(size), "page \(number) of a checkpoint is damaged",
            remains: isGiven(txid))
        }
      }
      page += count
    }
    if unreadable == nil, last == header.pageCount, checksum != header.checksum {
      report(
        sums.path, 64, "a checkpoint's checksum of the whole database is not that of its pages",
        remains: isGiven(txid))
    }
    summary.pages += UInt64(last)
  }

  /// The log has what was changed, and a checkpoint what it was changed in: without one nobody opens the store.
  /// False, and told, where there is none.
  private func hasCheckpoint() throws(StoreError) -> Bool {
    // A listing may miss a name that was made while it ran.
    guard known.isEmpty, try listedCheckpoints().whole.isEmpty else { return true }
    report(
      layout.checkpoints, nil, "the store has no checkpoint",
      remains:
        "nobody opens it without one, and `sluice repair` cannot make one; restore the store from a backup. Without a backup, `sluice replay --log` makes the database of the log, where that begins with batch 1 of an empty store"
    )
    return false
  }

  /// There is a checkpoint, and `current.sqlite` leads to one.
  func verifyCurrent() throws(StoreError) {
    let remains =
      try hasCheckpoint()
      ? "the next checkpoint sets it right (`sluice checkpoint`); nothing but other SQLite tools goes by it"
      : "there is none that it could lead to"
    let target: String
    do throws(StoreError) { target = try fileSystem.readSymbolicLink(layout.current) } catch {
      return report(
        layout.current, nil,
        error.isNoSuchFile ? "current.sqlite is missing" : "current.sqlite is no symbolic link",
        remains: remains)
    }
    guard let txid = StoreLayout.currentTxID(target) else {
      return report(
        layout.current, nil, "current.sqlite leads to \(target), which is no checkpoint",
        remains: remains)
    }
    if try !listedCheckpoints().whole.contains(txid) {
      report(
        layout.current, nil, "current.sqlite leads to checkpoint \(txid), which is not there",
        remains: remains)
    }
  }
}
