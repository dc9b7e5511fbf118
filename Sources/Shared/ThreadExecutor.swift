internal import Glibc
internal import Synchronization

/// A pool of POSIX threads that grows on demand to `threadLimit` and sleeps when idle.
///
/// Threads, not Swift concurrency: the work blocks in system calls, which would starve the
/// cooperative pool.
package final class ThreadExecutor: Executor, Sendable {
  package static let shared = ThreadExecutor(threadLimit: 16)

  private struct State {
    var queue: [Work] = []
    var idle = 0
    var threads = 0
  }

  private let threadLimit: Int
  private let state = Monitor(State())

  package init(threadLimit: Int) { self.threadLimit = threadLimit }

  package func start(_ work: @escaping @Sendable () -> Void) -> any StartedWork {
    let item = Work(work)
    enqueue(item)
    return item
  }

  package func detach(_ work: @escaping @Sendable () -> Void) { startThread(work) }

  package func concurrently(_ count: Int, _ body: @Sendable (Int) -> Void) {
    guard count > 1 else {
      if count == 1 { body(0) }
      return
    }
    let next = Atomic<Int>(0)
    withoutActuallyEscaping(body) { body in
      let share: @Sendable () -> Void = {
        while true {
          let i = next.wrappingAdd(1, ordering: .relaxed).oldValue
          guard i < count else { return }
          body(i)
        }
      }
      withoutActuallyEscaping(share) { share in
        let started = (0..<min(count - 1, threadLimit)).map { _ in start(share) }
        share()
        for work in started { work.wait() }
      }
    }
  }

  private func enqueue(_ item: Work) {
    let needsThread = state.withLock { state in
      state.queue.append(item)
      guard state.queue.count > state.idle, state.threads < threadLimit else { return false }
      state.threads += 1
      return true
    }
    if needsThread { startThread { [self] in serve() } } else { state.wakeOne() }
  }

  private func serve() -> Never {
    while true {
      let item = state.wait(on: { $0.idle += 1 }, off: { $0.idle -= 1 }) { state -> Work? in
        state.queue.isEmpty ? nil : state.queue.removeFirst()
      }
      item.run()
    }
  }
}

/// One piece of work and whether it is done.
private final class Work: StartedWork, @unchecked Sendable {
  // Sendable: `body` is touched only by `init` and by the one thread that runs it.
  private var body: (@Sendable () -> Void)?
  private let done = Monitor(false)

  init(_ body: @escaping @Sendable () -> Void) { self.body = body }

  func run() {
    body?()
    // Before `done`: `concurrently` lends a closure that nobody may hold when it returns.
    body = nil
    done.withLock { $0 = true }
    done.wakeAll()
  }

  func wait() { done.wait { $0 ? () : nil } }
  var isDone: Bool { done.withLock { $0 } }
}

/// Starts a detached POSIX thread that runs `body`.
package func startThread(_ body: @escaping @Sendable () -> Void) {
  final class Box {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  let context = Unmanaged.passRetained(Box(body)).toOpaque()
  let status = pthread_create(
    &thread, nil,
    { context in
      if let context { Unmanaged<Box>.fromOpaque(context).takeRetainedValue().body() }
      return nil
    }, context)
  precondition(status == 0, "pthread_create failed with \(status): raise the limit of threads")
  pthread_detach(thread)
}
