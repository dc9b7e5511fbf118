internal import Logging
internal import SluiceDynamoDB
internal import SluiceJournal
internal import SluiceLease
internal import SluiceShared

/// The lease that a store's description names.
enum StoreLease {
  /// For each table: one that does not answer keeps no request to another waiting.
  private static let requests = ProcessLocal<[String: ThreadExecutor]> { [:] }

  private static func executor(_ table: String) -> ThreadExecutor {
    requests.withLock { requests in
      let known = requests[table] ?? ThreadExecutor(threadLimit: Limits.requestsAtOnce)
      requests[table] = known
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
      environment.executor = executor(name)
      let table = MeteredTable(
        try DynamoTable(table: name, store: description.id, environment: environment),
        store: layout.root, clock: environment.clock)
      return TableLease(
        table, duration: options.leaseTime, name: options.holder, environment: environment,
        onAnswer: options.many?.onAnswer
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
