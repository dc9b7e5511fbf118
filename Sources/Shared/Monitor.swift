internal import CSystem
internal import Glibc

/// A value under a mutex, with a condition to wait for (pthread's mutex and condition variable;
/// the standard library has no condition).
package final class Monitor<Value>: @unchecked Sendable {
  // Sendable: `value` is touched only between lock and unlock of `mutex`.
  private var value: Value
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  package init(_ value: sending Value) {
    self.value = value
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  package func withLock<R>(_ body: (inout Value) throws -> R) rethrows -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body(&value)
  }

  package func wakeOne() { pthread_cond_signal(condition) }
  package func wakeAll() { pthread_cond_broadcast(condition) }

  /// Waits until `take` returns something.
  package func wait<R>(_ take: (inout Value) -> R?) -> R {
    wait(on: { _ in }, off: { _ in }, take)
  }

  /// As `wait`, calling `on` before and `off` after each time it sleeps.
  package func wait<R>(
    on: (inout Value) -> Void, off: (inout Value) -> Void, _ take: (inout Value) -> R?
  ) -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      if let result = take(&value) { return result }
      on(&value)
      pthread_cond_wait(condition, mutex)
      off(&value)
    }
  }

  /// Waits until `take` returns something, at most `limit`; nil after that.
  package func wait<R>(atMost limit: Duration, _ take: (inout Value) -> R?) -> R? {
    var deadline = timespec()
    clock_gettime(CLOCK_MONOTONIC, &deadline)
    let (seconds, attoseconds) = limit.components
    deadline.tv_sec += Int(seconds)
    deadline.tv_nsec += Int(attoseconds / 1_000_000_000)
    if deadline.tv_nsec >= 1_000_000_000 {
      deadline.tv_sec += 1
      deadline.tv_nsec -= 1_000_000_000
    }
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      if let result = take(&value) { return result }
      if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT { return take(&value) }
    }
  }
}
