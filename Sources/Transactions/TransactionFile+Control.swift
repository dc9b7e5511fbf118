internal import CSQLite
internal import SluiceShared
internal import SluiceVFS

extension TransactionFile {
  package func control(_ operation: Int32, _ argument: UnsafeMutableRawPointer?) -> Int32 {
    switch (operation, argument) {
    case (SQLITE_FCNTL_SYNC, _):
      return code { () throws(VFSFailure) in
        try submit(superJournal: argument)
      }
    case (SQLITE_FCNTL_OVERWRITE, _): return code { () throws(VFSFailure) in try refuseVacuum() }
    case (Self.identify, let argument?):
      argument.storeBytes(
        of: Unmanaged.passUnretained(self).toOpaque(), as: UnsafeMutableRawPointer.self)
      return SQLITE_OK
    case (SQLITE_FCNTL_BUSYHANDLER, let argument?):
      busyHandler = BusyHandler(argument)
      return base.control(operation, argument)
    case (SQLITE_FCNTL_PDB, let argument?):
      meet(HostConnection(argument, calls))
      return base.control(operation, argument)
    case (SQLITE_FCNTL_PRAGMA, let argument?):
      let texts = argument.assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self)
      return answerPragma(texts) ?? base.control(operation, argument)
    default: return base.control(operation, argument)
    }
  }

  private func code(_ body: () throws(VFSFailure) -> Void) -> Int32 {
    do throws(VFSFailure) { try body() } catch { return error.code }
    return SQLITE_OK
  }

  /// A store's connection has settings of its own where its program sets none: a turn takes time, and batches
  /// keep to foreign keys. One to which the store is attached stays as it is.
  private func meet(_ connection: HostConnection) {
    self.connection = connection
    guard connection.isMain(self) else { return }
    connection.setBusyTimeout(Limits.busyTimeout_ms)
    if base.enforcesForeignKeys { connection.enforceForeignKeys() }
  }

  /// VACUUM moves the pages of the applier's tables, and all others.
  private func refuseVacuum() throws(VFSFailure) {
    throw failed(
      VFSFailure(SQLITE_PERM),
      StoreError(
        .invalid, "a connection cannot VACUUM a store; use `sluice compact \(base.path)`",
        path: base.path))
  }

  // MARK: PRAGMAs

  /// Nil: SQLite, or the pinned file, has the answer. Each is a sign of life, for a transaction whose statements
  /// find all in SQLite's cache.
  private func answerPragma(_ texts: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Int32? {
    giveSignOfLife()
    guard let name = texts[1].map({ String(cString: $0).lowercased() }) else { return nil }
    let argument = texts[2].map { String(cString: $0).lowercased() }
    func refuse(_ error: StoreError, withCode: Bool = false) -> Int32 {
      base.note(error)
      texts[0] = calls.allocated(withCode ? "\(error.code.rawValue): \(error)" : "\(error)")
      return SQLITE_ERROR
    }
    switch (name, argument) {
    case ("journal_mode", "wal"):
      // Frameworks ask for it and go on without: readers are not in the way here.
      texts[0] = calls.allocated("delete")
      return SQLITE_OK
    case ("journal_mode", "off"): return refuse(Self.journalOff(base.path))
    case ("locking_mode", "exclusive"):
      return refuse(
        StoreError(
          .invalid, "a store is for many; leave locking_mode NORMAL", path: base.path))
    case ("sluice_submit", _) where state.isWriting:
      return refuse(
        StoreError(
          .invalid,
          "no batch is executed while a transaction is open that writes; COMMIT or ROLLBACK before",
          path: base.path), withCode: true)
    default: return nil
    }
  }
}
