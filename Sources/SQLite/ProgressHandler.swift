internal import CSQLite

/// Keeps the closure that SQLite calls as a progress handler.
final class ProgressHandler {
  let shouldInterrupt: () -> Bool
  init(_ shouldInterrupt: @escaping () -> Bool) { self.shouldInterrupt = shouldInterrupt }
}

extension Connection {
  /// Calls `body` about every `steps` virtual machine steps of one statement; true makes the
  /// statement fail with `SQLITE_INTERRUPT`. Nil removes the handler (`sqlite3_progress_handler`).
  ///
  /// A statement of fewer steps never calls it. An interrupted write ends its whole transaction.
  package func setProgressHandler(every steps: Int32, _ body: (() -> Bool)?) {
    let handler = body.map(ProgressHandler.init)
    let context = handler.map { Unmanaged.passUnretained($0).toOpaque() }
    sqlite3_progress_handler(
      handle, steps,
      handler == nil
        ? nil
        : { context in
          guard let context else { return 0 }
          let handler = Unmanaged<ProgressHandler>.fromOpaque(context).takeUnretainedValue()
          return handler.shouldInterrupt() ? 1 : 0
        }, context)
    progressHandler = handler
  }
}
