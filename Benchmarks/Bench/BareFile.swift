import BenchmarkSupport
import Glibc
import SluiceShared

/// A file written without Sluice: aligned `pwrite`, `fdatasync`, and a 4 KiB `pread` like the one
/// that looks at a segment's mark.
final class BareFile {
  private let descriptor: Int32
  private let buffer: UnsafeMutableRawPointer
  private let bufferBytes: Int
  private var offset: Int64 = 8192

  /// Makes the file, `size` bytes, sparse, as a segment is made.
  init(_ path: String, size: Int64, largestWrite: Int = 1 << 20) throws(RunError) {
    descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    bufferBytes = largestWrite
    buffer = .allocate(byteCount: largestWrite, alignment: 4096)
    buffer.initializeMemory(as: UInt8.self, repeating: 0x5A, count: largestWrite)
    guard descriptor >= 0, ftruncate(descriptor, off_t(size)) == 0, fsync(descriptor) == 0 else {
      throw RunError("\(path): \(String(cString: strerror(errno)))")
    }
  }

  deinit {
    close(descriptor)
    buffer.deallocate()
  }

  /// A durable write behind the last one.
  func write(_ count: Int) throws(RunError) {
    guard count <= bufferBytes, pwrite(descriptor, buffer, count, off_t(offset)) == count,
      fdatasync(descriptor) == 0
    else { throw RunError("a bare write failed: \(String(cString: strerror(errno)))") }
    offset += Int64(count)
  }

  /// A durable write, then the read of the first block.
  func round(_ count: Int) throws(RunError) {
    try write(count)
    guard pread(descriptor, buffer, 4096, 0) == 4096 else {
      throw RunError("a bare read failed: \(String(cString: strerror(errno)))")
    }
  }
}

/// Nanoseconds that `body` takes.
func nanoseconds(_ body: () throws -> Void) rethrows -> Double {
  let clock = SystemClock()
  let began = clock.bootTime_ns()
  try body()
  return Double(clock.bootTime_ns() - began)
}
