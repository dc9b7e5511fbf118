internal import Logging
internal import SluiceDynamoDB
internal import SluiceJournal
internal import SluiceLease
internal import SluiceShared

/// The lease that a store's description names.
enum StoreLease {
  private static let requests = ThreadExecutor(threadLimit: 64)

  static func make(
    for description: StoreDescription, _ layout: StoreLayout, _ options: ApplierOptions,
    _ environment: Environment
  ) throws(StoreError) -> any Lease {
    switch description.lease {
    case .file: return FileLease(duration: options.leaseTime, environment: environment)
    case .dynamodb(let table):
      // Requests wait for answers; publishing must not wait for them.
      var environment = environment
      environment.executor = requests
      let table = MeteredTable(
        try DynamoTable(table: table, store: description.id, environment: environment),
        store: layout.root, clock: environment.clock)
      return TableLease(
        table, duration: options.leaseTime, name: options.holder, environment: environment
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
