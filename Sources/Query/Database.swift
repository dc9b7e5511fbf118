public import SluiceReader
public import SluiceSQLite
public import SluiceShared

/// A store open for reading with SQL; any number of threads may use it.
public final class Database: Sendable {
  package let store: PageStore
  private let number: UInt64
  private let executor: any Executor
  private let extensions: [LoadableExtension]
  private let idle = Monitor<[ReadConnection]>([])
  private static let mostIdle = 4
  /// Reads run for as long as their caller likes. An applier in the same process writes its beacons on
  /// `ThreadExecutor.shared`, and must not wait for them.
  private static let readers = ThreadExecutor(threadLimit: 16)

  /// Opens the store at `path`; the process's connections to one store share what is known of it.
  /// `extensions` are loaded for each of its connections; the store's own are code of whoever made
  /// the store, so nothing loads them by itself.
  public convenience init(path: String, extensions: [LoadableExtension] = []) throws(StoreError) {
    self.init(
      try PageStore.shared(path: path), executor: Self.readers, extensions: extensions)
  }

  /// Reads through `store`. `executor` is where the asynchronous `read` runs.
  package init(
    _ store: PageStore, executor: any Executor, extensions: [LoadableExtension] = []
  ) {
    ReadVFS.register()
    self.store = store
    self.executor = executor
    self.extensions = extensions
    number = PageStore.number(store)
  }

  /// Runs `body` in one read transaction, on a snapshot as fresh as asked for.
  ///
  /// `limit` is how long it may take in all: then what SQLite is at is interrupted, and `.timeout` is thrown. That is
  /// looked at between SQLite's steps and before pages are read; a request to the file server is waited for.
  ///
  /// Throws what `body` throws; `StoreError` where the store cannot be read (`.snapshotExpired`: call
  /// again); `SQLiteError` for the SQL.
  public func read<R>(
    _ freshness: Freshness = .latest, within limit: Duration? = nil,
    _ body: (ReadTransaction) throws -> R
  ) throws -> R {
    let timeLimit = limit.map { TimeLimit($0, store.clock) }
    let snapshot = try store.snapshot(freshness)
    let connection =
      try idle.withLock { $0.popLast() } ?? ReadConnection(store, number, extensions)
    let transaction = try connection.begin(snapshot, timeLimit)
    defer {
      if connection.end(transaction) {
        idle.withLock { if $0.count < Self.mostIdle { $0.append(connection) } }
      }
    }
    try timeLimit?.check()
    return try body(transaction)
  }

  /// As the synchronous `read`, on a thread of its own, since reading waits for the file server.
  public func read<R: Sendable>(
    _ freshness: Freshness = .latest, within limit: Duration? = nil,
    _ body: @escaping @Sendable (ReadTransaction) throws -> R
  ) async throws -> R {
    try await withCheckedThrowingContinuation { continuation in
      _ = executor.start {
        let run: () throws -> R = { try self.read(freshness, within: limit, body) }
        continuation.resume(with: Result(catching: run))
      }
    }
  }
}
