internal import CSQLite
internal import SluiceJournal
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared
internal import SluiceVFS

/// How the pages of an interactive transaction become a commit.
///
/// They are accepted only over the state that they were made on, and only where nothing of Sluice's is touched
/// and the next connection can go on with them (GUARANTEES, 9). Then they lie over the snapshot like those of
/// VACUUM, and the applier's own transaction with the batch's outcome is sealed together with them.
extension Session {
  /// Called in the group's transaction, in which nothing was written by this batch; ends in one, too.
  func commit(
    _ pages: EncodedPageBatch, _ parts: PartReader, in group: Group, isAlone: Bool, turn: TxID?
  ) throws(StoreError) -> BatchEnd {
    if let conflict = conflict(pages, newest: TxID(group.nextTxID.rawValue - 1), turn) {
      return .outcome(.rejected(conflict))
    }
    guard isAlone else { return .needsOwnCommit }
    let candidate = try candidate(over: pages)
    try rollback()
    _ = run.takeFullCommit()
    let refusal: BatchEnd?
    do throws(EncodedPageBatch.Failure) {
      refusal = try laid(pages, parts, candidate).map { .outcome(.rejected($0)) }
    } catch {
      refusal = try end(after: error)
    }
    guard let refusal else { return .outcome(.granted) }
    try rollback()
    run.reopenAfterwards()
    try own { () throws(SQLiteError) in try begin.run() }
    return refusal
  }

  private func conflict(_ pages: EncodedPageBatch, newest: TxID, _ turn: TxID?)
    -> Outcome.Rejection?
  {
    if pages.base != newest, environment.makes(.pagesOverNewest) {
      return Outcome.Rejection(
        code: Outcome.Rejection.Code.conflict,
        message:
          "the database has changed since the transaction began (\(pages.base)); run it again")
    }
    if let turn, pages.turn != turn, environment.makes(.turnNamed) {
      return Outcome.Rejection(
        code: Outcome.Rejection.Code.conflict,
        message: "another transaction has the turn; run this one again")
    }
    return nil
  }

  private func end(after failure: EncodedPageBatch.Failure) throws(StoreError) -> BatchEnd {
    switch failure {
    case .malformed(let error): return .outcome(.rejected(Self.unsound("\(error)")))
    case .store(let error) where error.code == .limit:
      return .exhausted(
        Outcome.Rejection(code: Outcome.Rejection.Code.resources, message: error.message))
    case .store(let error): throw error
    }
  }

  private static func unsound(_ why: String) -> Outcome.Rejection {
    Outcome.Rejection(
      code: Outcome.Rejection.Code.unsoundPages, message: "the transaction's pages: \(why)")
  }

  // MARK: what they are held against

  /// What is known of the base before anything lies over it.
  fileprivate struct Base {
    var first: [UInt8]
    var own: [[SQLValue]]
    var uses: [UInt32: ReservedPages.Use]
    var schemaBytes: Int
  }

  private func candidate(over pages: EncodedPageBatch) throws(StoreError) -> Base {
    let own = try ownSchema()
    var roots = [ReservedPages.Root(page: 1, use: .schema)]
    for row in own where row.count == 5 {
      guard case .integer(let root) = row[3], root > 0, case .text(let name) = row[1],
        case .text(let table) = row[2]
      else { continue }
      let isOwn = name.hasPrefix(Bookkeeping.prefix) || table.hasPrefix(Bookkeeping.prefix)
      roots.append(.init(page: UInt32(root), use: isOwn ? .bookkeeping : .statistics))
    }
    return Base(
      first: try snapshot.firstPage(), own: own,
      uses: try reserved.uses(from: roots, in: snapshot, onRead: database.onRead),
      schemaBytes: connection.schemaBytes)
  }

  /// What the schema says of Sluice's own tables and of SQLite's statistics.
  private func ownSchema() throws(StoreError) -> [[SQLValue]] {
    try own { () throws(SQLiteError) in try connection.query(Self.ownSchemaQuery) }
  }

  private static let ownSchemaQuery =
    "SELECT type, name, tbl_name, rootpage, sql FROM main.sqlite_schema WHERE tbl_name LIKE '\\_sluice\\_%' ESCAPE '\\' OR name LIKE '\\_sluice\\_%' ESCAPE '\\' OR name LIKE 'sqlite\\_stat%' ESCAPE '\\' ORDER BY type, name"

  // MARK: over the snapshot

  /// Lays the pages over the snapshot and begins the transaction that is sealed with them; returns why they are
  /// refused.
  private func laid(_ pages: EncodedPageBatch, _ parts: PartReader, _ base: Base)
    throws(EncodedPageBatch.Failure) -> Outcome.Rejection?
  {
    guard pages.pageSize == snapshot.pageSize else {
      return Self.unsound(
        "they have \(pages.pageSize) bytes, and the database's \(snapshot.pageSize)")
    }
    let checksOwn = environment.makes(.ownPages)
    var changed: [UInt32] = []
    var touched: [UInt32: ReservedPages.Use] = [:]
    let database = database
    let snapshot = snapshot
    try pages.forEachPage(
      checksSum: environment.makes(.pagesOverNewest), checksParts: environment.makes(.namedParts),
      part: parts.bytes
    ) { (number, buffer) throws(StoreError) in
      try snapshot.read(page: number, into: buffer)
    } _: { (number, page) throws(StoreError) in
      // Page 1 always changes; what it has of the schema is compared by itself.
      if number != 1, let use = base.uses[number] {
        let isSame = try snapshot.copy(ofPage: number).elementsEqual(page)
        if !isSame { touched[number] = use }
      }
      changed.append(number)
      try database.lay(number, page, count: pages.pageCount)
    }
    do throws(StoreError) {
      if checksOwn, touched.values.contains(.bookkeeping) || base.isCut(at: pages.pageCount) {
        return Self.unsound(
          "they change a table of Sluice's own; VACUUM and auto_vacuum = full do, which are for batches"
        )
      }
      return try objection(pages, base, touched, changed)
    } catch {
      throw .store(error)
    }
  }

  private func objection(
    _ pages: EncodedPageBatch, _ base: Base, _ touched: [UInt32: ReservedPages.Use],
    _ changed: [UInt32]
  ) throws(StoreError) -> Outcome.Rejection? {
    guard let first = try database.page(1) else { return Self.unsound("there is no page 1") }
    let candidate = CandidatePages(base: base.first, first: first, pageCount: pages.pageCount)
    if environment.makes(.pagesRaiseCounter), !candidate.raisesCounter {
      return Self.unsound("the change counter is not above the base's")
    }
    var trees = CandidateTrees(
      base: base.uses, candidate: candidate,
      schema: try schema(candidate, base, touched), makesCheck: environment.makes(.ownTrees))
    let database = database
    let page = { (number: UInt32) throws(StoreError) in try database.page(number) }
    if environment.makes(.soundFirstPage) {
      if let objection = candidate.objection { return Self.unsound(objection) }
      let objection = try candidate.objectionToFreePages(
        most: Int(snapshot.pageCount) + pages.changed, page, &trees.free
      ) { base.uses[$0] == .bookkeeping || trees.schema.contains($0) }
      if let objection { return Self.unsound(objection) }
    }
    if let rejection = tooLarge(pages) { return rejection }
    if let objection = try trees.objection(toLinksOf: changed, page) {
      return Self.unsound(objection)
    }
    try own { () throws(SQLiteError) in try begin.run() }
    let changesSchema =
      candidate.changesCookie || candidate.changesFirstPageOfSchema
      || touched.values.contains(.schema)
    if changesSchema, environment.makes(.candidateSchema) {
      guard candidate.changesCookie else {
        return Self.unsound("the schema changed, and its cookie did not")
      }
      if let rejection = try objectionToSchema(base, trees) { return rejection }
    }
    // What a connection remembers of statistics, and of virtual tables.
    let hasVirtualTables = try hasVirtualTables()
    if changesSchema || touched.values.contains(.statistics) || hasVirtualTables {
      run.reopenAfterwards()
    }
    if changesSchema {
      run.forgetStatements()
      run.forgetVirtualTables()
    }
    return nil
  }

  /// New pages that are not sent, since they were taken and freed again, are written like those that are.
  private func tooLarge(_ pages: EncodedPageBatch) -> Outcome.Rejection? {
    let new = max(0, Int64(pages.pageCount) - Int64(snapshot.pageCount))
    let written = new + Int64(pages.changed)
    let sizes = environment.commitSizes
    guard written * Int64(snapshot.pageSize) > sizes.commitBytes || written > sizes.commitPages
    else { return nil }
    return Outcome.Rejection(
      code: Outcome.Rejection.Code.resources,
      message:
        "the transaction makes \(new) new pages of \(snapshot.pageSize) bytes, free ones among them; a commit changes at most \(sizes.commitBytes) bytes of pages, and \(sizes.commitPages) pages; split it"
    )
  }

  /// The pages of the schema that the transaction leaves: what it drops gives back some.
  private func schema(
    _ candidate: CandidatePages, _ base: Base, _ touched: [UInt32: ReservedPages.Use]
  ) throws(StoreError) -> Set<UInt32> {
    let database = database
    return try reserved.schema(
      in: candidate.pageCount, usable: candidate.usable,
      isSame: { $0 != 1 && base.uses[$0] == .schema && touched[$0] == nil }
    ) { (number) throws(StoreError) in try database.page(number) }
  }

  /// Whether SQLite reads the schema, and batches can go on with it.
  private func objectionToSchema(_ base: Base, _ trees: CandidateTrees) throws(StoreError)
    -> Outcome.Rejection?
  {
    do throws(SQLiteError) {
      let candidate = try connection.query(Self.ownSchemaQuery)
      let isOwn = { (row: [SQLValue]) -> Bool in
        if case .text(let name)? = row.dropFirst().first {
          !name.hasPrefix("sqlite_stat")
        } else {
          true
        }
      }
      guard candidate.filter(isOwn) == base.own.filter(isOwn) else {
        return Self.unsound("they change what the schema says of Sluice's own tables")
      }
      let roots = try connection.query(
        "SELECT name, rootpage, name LIKE '\\_sluice\\_%' ESCAPE '\\' OR tbl_name LIKE '\\_sluice\\_%' ESCAPE '\\' FROM main.sqlite_schema WHERE rootpage <> 0"
      )
      if let objection = trees.objection(toRoots: roots) { return Self.unsound(objection) }
    } catch {
      if let failure = database.failure ?? fileSystem.budget.deviceError { throw failure }
      return Self.unsound("the applier's SQLite cannot read the schema: \(error.message)")
    }
    if let why = try unusable() { return Self.unsound(why) }
    do throws(StoreError) { try run.proveSchema(schemaBytesBefore: base.schemaBytes) } catch {
      if let failure = database.failure ?? fileSystem.budget.deviceError { throw failure }
      typealias Code = Outcome.Rejection.Code
      return Outcome.Rejection(
        code: error.code == .limit ? Code.resources : Code.denied, message: error.message)
    }
    return nil
  }

  /// A table that no batch could insert into, since an index, a CHECK or a trigger of it calls a function that only
  /// the transaction's maker has. SQLite notices when it compiles an INSERT, and not before. A default may call one:
  /// who gives a value of his own does without it.
  private func unusable() throws(StoreError) -> String? {
    let tables = try own { () throws(SQLiteError) in
      try connection.query(
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND rootpage > 0")
    }
    for case .text(let name)? in tables.map(\.first) {
      do throws(SQLiteError) {
        let columns = try connection.query(SchemaPragma.allColumns.text(of: name))
        let given = columns.count { $0.last == .integer(0) }
        let values = repeatElement("NULL", count: given).joined(separator: ", ")
        _ = try connection.prepare("INSERT INTO main.\(quoted(name)) VALUES (\(values))")
      } catch {
        if let failure = database.failure ?? fileSystem.budget.deviceError { throw failure }
        guard error.message.contains("function") else { continue }
        return "table \(name) could not be written to: \(error.message)"
      }
    }
    return nil
  }

  private func hasVirtualTables() throws(StoreError) -> Bool {
    do throws(BatchRun.Stop) { return try !run.virtualTables().isEmpty } catch { return true }
  }
}

extension Session.Base {
  /// Whether a database of so many pages lacks some of Sluice's own.
  fileprivate func isCut(at pageCount: UInt32) -> Bool {
    uses.contains { $0.key > pageCount && $0.value == .bookkeeping }
  }
}
