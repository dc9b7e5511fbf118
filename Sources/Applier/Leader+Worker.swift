internal import SluiceJournal
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared

/// Where a term's batches are executed.
extension Leader {
  /// The worker is a child process where the options name a program for it.
  static func execution(
    _ store: PageStore, _ prepared: (any PreparedWorker)?, _ options: ApplierOptions,
    _ environment: Environment
  ) throws(StoreError) -> Execution {
    var settings = Session.Settings(store.description, options)
    settings.journal = store.layout.journal
    let events = WorkerEvents()
    let execution = Execution(
      from: try store.snapshot(.latest), events, logger: options.logger, environment: environment,
      prepared: prepared
    ) { (snapshot) throws(WorkerEnd) in
      if let program = options.worker {
        return try ChildWorker(
          program, store: store.layout, settings, batchTime: options.batchTime, environment
        ).opened(at: snapshot.txid, events)
      }
      do throws(StoreError) {
        guard let fault = options.workerFault else {
          var settings = settings
          settings.batchTime = options.batchTime
          return try LocalWorker(snapshot, settings, events, environment)
        }
        // As a child process does.
        let begins: Freshness =
          environment.makes(.workerAtEnd)
          ? .atLeast(snapshot.txid, timeout: .seconds(60)) : .latest
        let store = try PageStore(path: store.layout.root, environment: environment)
        return try LocalWorker(
          try store.snapshot(begins), settings, events, environment, fault: fault)
      } catch {
        throw .failed(error)
      }
    }
    // In this process nothing else is done meanwhile, so the term counts from when it is open.
    if options.worker == nil, options.many == nil { try execution.open() }
    if let many = options.many {
      execution.places = many.workers
      // Most of many stores have a question or two, and nothing to execute.
      execution.askWithoutWorker = { (snapshot, writer) throws(StoreError) in
        try DatabaseReader(snapshot, [], environment).reading { (connection) throws(SQLiteError) in
          try BookkeepingTables.writer(writer, in: connection)
        }
      }
    }
    return execution
  }
}
