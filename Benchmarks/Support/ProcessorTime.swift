internal import Glibc
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

/// What single processes have used of the processors so far, with the processes that they started, by `/proc`.
package struct ProcessUse: Sendable {
  /// Microseconds, in the steps of the kernel's clock (10 ms).
  package let own: Double
  package let children: Double

  package init(of pid: Int32) throws(StoreError) {
    own = try ProcessUse.microseconds(pid)
    var sum = 0.0
    // Any of its threads may have started them.
    for thread in try PosixFileSystem().list("/proc/\(pid)/task") {
      // It may have ended since.
      for line in (try? readLines("/proc/\(pid)/task/\(thread)/children")) ?? [] {
        for child in line.split(separator: " ").compactMap({ Int32($0) }) {
          sum += try ProcessUse.microseconds(child)
        }
      }
    }
    children = sum
  }

  /// Of this process.
  package static func ofThisProcess() -> Double {
    var use = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &use)
    func microseconds(_ time: timeval) -> Double {
      Double(time.tv_sec) * 1e6 + Double(time.tv_usec)
    }
    return microseconds(use.ru_utime) + microseconds(use.ru_stime)
  }

  private static func microseconds(_ pid: Int32) throws(StoreError) -> Double {
    // The name may hold anything, and ends with the last parenthesis.
    let line = try readLines("/proc/\(pid)/stat").joined(separator: " ")
    let words = line.split(separator: ")").last?.split(separator: " ") ?? []
    let ticks = [11, 12].reduce(0.0) { $0 + ($1 < words.count ? Double(words[$1]) ?? 0 : 0) }
    return ticks * 1_000_000 / Double(sysconf(Int32(_SC_CLK_TCK)))
  }
}
