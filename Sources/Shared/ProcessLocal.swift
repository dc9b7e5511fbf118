internal import CSystem
internal import Synchronization

/// How many forks lie between this process and the one that loaded this code: what belongs to a parent is
/// told by it from what belongs to its child.
package func forksOfProcess() -> UInt64 { csystem_forks() }

/// A value that all threads of a process share under a lock, and no child that it forks.
///
/// A child begins with a new one. Another thread of its parent may have held the lock when the process
/// forked, and no such thread lives in the child: who took that lock there would wait for ever.
package final class ProcessLocal<Value>: Sendable {
  private final class Generation: Sendable {
    let forks: UInt64
    let monitor: Monitor<Value>
    init(_ forks: UInt64, _ value: sending Value) {
      self.forks = forks
      monitor = Monitor(value)
    }
  }

  private let make: @Sendable () -> sending Value
  /// The address of a retained `Generation`, 0 for none; what a child inherits is never released there.
  private let current = Atomic<UInt>(0)

  package init(_ make: @escaping @Sendable () -> sending Value) { self.make = make }

  deinit { Self.known(current.load(ordering: .acquiring))?.release() }

  package func withLock<R>(_ body: (inout Value) throws -> R) rethrows -> R {
    try generation.monitor.withLock(body)
  }

  private static func known(_ address: UInt) -> Unmanaged<Generation>? {
    UnsafeRawPointer(bitPattern: address).map { Unmanaged<Generation>.fromOpaque($0) }
  }

  private var generation: Generation {
    let forks = csystem_forks()
    while true {
      let address = current.load(ordering: .acquiring)
      if let known = Self.known(address)?.takeUnretainedValue(), known.forks == forks {
        return known
      }
      let made = Generation(forks, make())
      let retained = Unmanaged.passRetained(made)
      let exchange = current.compareExchange(
        expected: address, desired: UInt(bitPattern: retained.toOpaque()),
        ordering: .acquiringAndReleasing)
      if exchange.exchanged { return made }
      retained.release()
    }
  }
}
