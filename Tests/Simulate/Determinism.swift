import Foundation
import Glibc

/// What would make the same seed run differently another time.
enum Determinism {
  private static let hashing = "SWIFT_DETERMINISTIC_HASHING"

  /// Starts this program anew where dictionaries are ordered by a random number.
  static func ensure() throws {
    guard ProcessInfo.processInfo.environment[hashing] == nil else { return }
    setenv(hashing, "1", 1)
    var arguments = CommandLine.arguments.map { strdup($0) } + [nil]
    execv("/proc/self/exe", &arguments)
    throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
  }
}
