internal import Glibc

/// A value that each thread has for itself; it ends with the thread.
///
/// For what a call cannot return and whoever made it asks for next, as with `errno`.
package final class ThreadLocal<Value>: Sendable {
  private final class Box {
    let value: Value
    init(_ value: Value) { self.value = value }
  }

  private let key: pthread_key_t

  package init() {
    var key = pthread_key_t()
    let status = pthread_key_create(&key, releaseBox)
    precondition(status == 0, "pthread_key_create failed with \(status)")
    self.key = key
  }

  /// What threads that live on have is kept: nobody else can get at it.
  deinit { pthread_key_delete(key) }

  /// nil: this thread has none.
  package var value: Value? {
    get { held?.takeUnretainedValue().value }
    set {
      let old = held
      let new = newValue.map { Unmanaged.passRetained(Box($0)) }
      // Without room for it the thread keeps what it had.
      if pthread_setspecific(key, new?.toOpaque()) == 0 { old?.release() } else { new?.release() }
    }
  }

  private var held: Unmanaged<Box>? { pthread_getspecific(key).map { .fromOpaque($0) } }
}

private func releaseBox(_ box: UnsafeMutableRawPointer?) {
  if let box { Unmanaged<AnyObject>.fromOpaque(box).release() }
}
