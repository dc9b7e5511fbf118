import CSQLite
import Glibc
import SluiceShared

/// Counts the steps of SQLite's virtual machine that a thread takes, in whatever connection it opens: the
/// same on every machine, and on a busy one.
///
/// Not counted is what SQLite executes for itself while it reads the schema.
enum StepCounter {
  private static let steps = Monitor([pthread_t: Int]())

  /// `body` opens its connections itself.
  static func count(_ body: () throws -> Void) throws -> Int {
    let thread = pthread_self()
    // Called by SQLite for each new connection, for the rest of the process.
    let trace:
      @convention(c) (
        OpaquePointer?, UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, UnsafeRawPointer?
      ) -> Int32 = { database, _, _ in
        sqlite3_trace_v2(
          database, UInt32(SQLITE_TRACE_PROFILE),
          { _, _, statement, _ in
            StepCounter.note(statement)
            return 0
          }, nil)
      }
    // One that it knows already is not called twice.
    sqlite3_auto_extension(unsafeBitCast(trace, to: (@convention(c) () -> Void).self))
    steps.withLock { $0[thread] = 0 }
    defer { steps.withLock { $0[thread] = nil } }
    try body()
    return steps.withLock { $0[thread] ?? 0 }
  }

  /// A statement has come to its end.
  private static func note(_ statement: UnsafeMutableRawPointer?) {
    let thread = pthread_self()
    // Of another thread's statements the count is that one's affair.
    guard steps.withLock({ $0[thread] != nil }) else { return }
    let taken = Int(sqlite3_stmt_status(OpaquePointer(statement), SQLITE_STMTSTATUS_VM_STEP, 1))
    steps.withLock { $0[thread, default: 0] += taken }
  }
}
