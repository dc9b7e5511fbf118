internal import Logging
internal import SluiceDynamoDB
internal import SluiceJournal
internal import SluiceLease
internal import SluiceShared

/// The lease that a store's description names.
enum StoreLease {
  /// What all leases by one table share: one that does not answer keeps no request to another waiting, and has what is
  /// sent to it again counted by itself.
  private struct Shared {
    let executor = ThreadExecutor(threadLimit: Limits.requestsAtOnce)
    let budget = RetryBudget()
  }

  private static let tables = ProcessLocal<[String: Shared]> { [:] }

  private static func shared(_ table: String) -> Shared {
    tables.withLock { tables in
      let known = tables[table] ?? Shared()
      tables[table] = known
      return known
    }
  }

  static func make(
    for description: StoreDescription, _ layout: StoreLayout, _ options: ApplierOptions,
    _ environment: Environment
  ) throws(StoreError) -> any Lease {
    switch description.lease {
    case .file: return FileLease(duration: options.leaseTime, environment: environment)
    case .dynamodb(let name):
      // Requests wait for answers; publishing must not wait for them.
      var environment = environment
      let shared = shared(name)
      environment.executor = shared.executor
      let table = MeteredTable(
        try DynamoTable(table: name, store: description.id, environment: environment),
        store: layout.root, clock: environment.clock)
      return TableLease(
        table, duration: options.leaseTime, name: options.holder, environment: environment,
        budget: shared.budget, onAnswer: options.many?.onAnswer
      ) { [logger = options.logger] in logger.log($0) }
    }
  }
}

extension Logger {
  fileprivate func log(_ report: LeaseReport) {
    let level: Logger.Level =
      switch report.level {
      case .info: .debug
      case .warning: .warning
      case .error: .error
      }
    var metadata: Logger.Metadata = [:]
    for detail in report.details { metadata[detail.name] = "\(detail.value)" }
    log(level: level, "\(report.message)", metadata: metadata)
  }
}
