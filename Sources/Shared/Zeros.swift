internal import Glibc

extension [UInt8] {
  /// Nothing but zeros: the first is, and each byte is as the one before it. C compares many at a time.
  package var isZero: Bool {
    withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress, let first = bytes.first else { return true }
      return first == 0 && memcmp(base, base + 1, bytes.count - 1) == 0
    }
  }
}
