/// Where work runs that may go on beside the caller. The cores are synchronous and make no
/// threads: they wait only through `FileSystem`, `Clock` and this.
package protocol Executor: Sendable {
  /// Starts `work` beside the caller. The result's `wait` returns when it is done.
  func start(_ work: @escaping @Sendable () -> Void) -> any StartedWork
  /// Starts work that may go on for as long as the process, in a place of its own; nobody waits.
  func detach(_ work: @escaping @Sendable () -> Void)
  /// Runs `body(0) … body(count - 1)`, many at once where the executor can; returns when all are
  /// done.
  func concurrently(_ count: Int, _ body: @Sendable (Int) -> Void)
  /// Whether it may start threads. Where it may not, who waits does all work itself.
  var startsThreads: Bool { get }
}

extension Executor {
  package var startsThreads: Bool { true }
}

package protocol StartedWork: Sendable {
  func wait()
  var isDone: Bool { get }
}

/// Runs everything at once in the caller: for a simulator, for one core, and after `fork()`.
package struct InlineExecutor: Executor {
  struct Done: StartedWork {
    func wait() {}
    var isDone: Bool { true }
  }

  package let startsThreads: Bool

  /// `startsThreads` false: also what is detached runs in the caller. For who lives in another's process.
  package init(startsThreads: Bool = true) { self.startsThreads = startsThreads }

  package func start(_ work: @escaping @Sendable () -> Void) -> any StartedWork {
    work()
    return Done()
  }

  package func detach(_ work: @escaping @Sendable () -> Void) {
    if startsThreads { startThread(work) } else { work() }
  }

  package func concurrently(_ count: Int, _ body: @Sendable (Int) -> Void) {
    for i in 0..<count { body(i) }
  }
}
