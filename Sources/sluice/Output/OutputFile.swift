import Glibc
import SluiceShared

/// Standard output, or another descriptor, written in large pieces. Nothing is written by itself:
/// call `flush` before letting go of it, and where somebody waits for the line.
struct OutputFile: ~Copyable {
  private static let bufferBytes = 64 << 10

  private let descriptor: Int32
  private var buffer: [UInt8] = []

  /// False once the reader has gone (`… | head`), which is no error: what is written then is thrown
  /// away, and whoever makes rows can stop. Needs SIGPIPE to be ignored.
  private(set) var hasReader = true

  init(descriptor: Int32 = STDOUT_FILENO) { self.descriptor = descriptor }

  mutating func write(_ text: String) throws(StoreError) { try write(bytes: text.utf8) }

  mutating func write(bytes: some Collection<UInt8>) throws(StoreError) {
    buffer.append(contentsOf: bytes)
    if buffer.count >= OutputFile.bufferBytes { try flush() }
  }

  /// Throws `.io` where the text cannot be written, a full disk for example (`write`).
  mutating func flush() throws(StoreError) {
    defer { buffer.removeAll(keepingCapacity: true) }
    var written = 0
    while hasReader, written < buffer.count {
      let count = buffer.withUnsafeBytes { bytes in
        Glibc.write(descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
      }
      if count >= 0 {
        written += count
      } else if errno == EPIPE {
        hasReader = false
      } else if errno != EINTR {
        throw StoreError(
          .io, "cannot write the output: \(String(cString: strerror(errno)))", errno: errno)
      }
    }
  }
}
