package import SluiceShared

/// What all processors of this machine have done so far, by `/proc/stat`.
package struct ProcessorTime {
  private let user: UInt64
  private let kernel: UInt64
  private let idle: UInt64

  package init() throws(StoreError) {
    let times = try readLines("/proc/stat").first?.split(separator: " ").compactMap { UInt64($0) }
    let time = { (i: Int) -> UInt64 in times.flatMap { i < $0.count ? $0[i] : nil } ?? 0 }
    // user, nice, system, idle, waiting for disks, and interrupts of two kinds.
    user = time(0) + time(1)
    kernel = time(2) + time(5) + time(6)
    idle = time(3) + time(4)
  }

  /// Since an earlier look: the share of the time that they were busy, and that they were so in the kernel.
  package func busy(since earlier: ProcessorTime) -> (all: Double, kernel: Double) {
    let (user, kernel) = (user - earlier.user, kernel - earlier.kernel)
    let all = Double(max(1, user + kernel + idle - earlier.idle))
    return (Double(user + kernel) / all, Double(kernel) / all)
  }
}
