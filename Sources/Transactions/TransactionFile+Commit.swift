internal import CSQLite
internal import SluiceJournal
internal import SluiceShared
internal import SluiceVFS
internal import SluiceWriter

extension TransactionFile {
  /// SQLite is about to sync the database: at the end of a COMMIT, and of a ROLLBACK after the cache spilled.
  /// Unlike xSync this comes with synchronous=OFF too. `superJournal` is there where several databases commit.
  ///
  /// Every code but SQLITE_BUSY makes SQLite roll back by itself.
  func submit(superJournal: UnsafeMutableRawPointer?) throws(VFSFailure) {
    guard case .writing(let turn) = state.stage else { return }
    try checkProcess()
    guard try isCommit() else { return overlay.removeAll() }
    let pages: PageBatch
    do throws(StoreError) {
      try checkAlone(superJournal)
      pages = try changedPages(turn)
    } catch {
      undo()
      if let turn { giveBack(turn) }
      throw failed(Self.failure(ofPages: error), error)
    }
    let outcome: Commitment
    do throws(StoreError) {
      outcome = try client().commit(pages, of: turn, timeout: pages.longestCommit)
    } catch {
      undo()
      let failure = Self.failure(ofCommit: error)
      // Pages in the journal end the turn, and these are not there.
      if let turn, failure.code != VFSFailure.sync.code { giveBack(turn) }
      throw told(failure, error)
    }
    switch outcome {
    case .committed(let txid):
      state.accept(txid)
      base.committed(txid)
    case .conflict(let refusal):
      undo()
      throw refused(.busySnapshot, .overtaken(base, by: refusal.rawValue - 1, turn))
    case .refused(let why):
      undo()
      throw failed(VFSFailure(SQLITE_PERM), StoreError(.invalid, why, path: base.path))
    }
  }

  /// The pinned state is what is there again.
  private func undo() {
    state.undo()
    overlay.removeAll()
    cacheIsStale = true
  }

  private static func failure(ofPages error: StoreError) -> VFSFailure {
    switch error.code {
    case .invalid: VFSFailure(SQLITE_ERROR)
    case .limit: VFSFailure(SQLITE_FULL)
    default: .write
    }
  }

  /// SQLITE_IOERR_FSYNC says that nobody knows; no other error of a COMMIT does.
  private static func failure(ofCommit error: StoreError) -> VFSFailure {
    switch error.code {
    case .notSubmitted: .write
    case .backlogFull: .busySnapshot
    case .limit: VFSFailure(SQLITE_FULL)
    default: .sync
    }
  }

  // MARK: What is committed

  /// A COMMIT has raised the change counter in page 1; a ROLLBACK has written back what was there.
  private func isCommit() throws(VFSFailure) -> Bool {
    do throws(StoreError) {
      guard let first = try overlay.copy(of: 1) else { return false }
      let (before, after) = (try changeCounter(), FirstPage(first).changeCounter)
      guard before <= after else {
        throw StoreError(
          .damaged, "the change counter fell from \(before) to \(after) in a transaction",
          path: base.path)
      }
      return after > before
    } catch {
      throw failed(.write, error)
    }
  }

  /// The pinned state's.
  private func changeCounter() throws(StoreError) -> UInt32 {
    let page = UnsafeMutableRawBufferPointer.allocate(byteCount: overlay.pageSize, alignment: 8)
    defer { page.deallocate() }
    try base.read(page: 1, into: page)
    return FirstPage(Array(page)).changeCounter
  }

  /// Throws `.invalid` where other databases are written in the same transaction: SQLite would commit one after
  /// the other, and nothing takes back what a store has taken.
  private func checkAlone(_ superJournal: UnsafeMutableRawPointer?) throws(StoreError) {
    guard environment.makes(.commitsAlone) else { return }
    guard superJournal != nil || connection?.writesOthers(than: self) == true else { return }
    throw StoreError(
      .invalid,
      "a transaction that writes a store writes nothing else; COMMIT the one before the other",
      path: base.path)
  }

  /// The pages, as those of a transaction that ran on the pinned state.
  private func changedPages(_ turn: Turn?) throws(StoreError) -> PageBatch {
    guard let first = try overlay.copy(of: 1) else {
      throw StoreError(.invalid, "a transaction without page 1", path: base.path)
    }
    let pageCount = try FirstPage(first).pageCount(base.path)
    let pageSize = overlay.pageSize
    let page = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize, alignment: 64)
    let before = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize, alignment: 64)
    defer {
      page.deallocate()
      before.deallocate()
    }
    var encoder = PageBatchEncoder(
      base: base.txid, turn: turn?.number, pageSize: pageSize, pageCount: pageCount,
      scratch: environment.fileSystem)
    for number in overlay.numbers where number <= pageCount {
      guard try overlay.read(number, over: base, into: page) else { continue }
      let isNew = number > base.pageCount
      if !isNew { try base.read(page: number, into: before) }
      try encoder.add(
        number, UnsafeRawBufferPointer(page), over: isNew ? nil : UnsafeRawBufferPointer(before))
    }
    return try encoder.finish()
  }
}

extension PageBatch {
  /// How long it is waited for what becomes of it.
  fileprivate var longestCommit: Duration {
    Limits.longestCommit + .seconds((parts?.bytes ?? 0) / Limits.partBytesPerSecond)
  }
}

/// What the database's header says, in page 1.
private struct FirstPage {
  private let page: [UInt8]

  init(_ page: [UInt8]) { self.page = page }

  private func number(at offset: Int) -> UInt32 {
    page[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
  }

  var changeCounter: UInt32 { number(at: Int(TransactionFile.versionOffset)) }

  /// Pages of the database. SQLite has written it since 3.7.0, beside the counter that it is valid for.
  func pageCount(_ path: String) throws(StoreError) -> UInt32 {
    let count = number(at: 28)
    guard count > 0, number(at: 92) == changeCounter else {
      throw StoreError(
        .invalid, "page 1 does not say how many pages there are; use a newer SQLite", path: path)
    }
    return count
  }
}
