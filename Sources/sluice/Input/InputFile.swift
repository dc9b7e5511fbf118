import Glibc
import SluiceShared

/// A file or standard input, read once from front to back; closed when it is let go.
struct InputFile: ~Copyable {
  /// What messages call standard input.
  static let standardInput = "standard input"

  /// What messages call it.
  let name: String
  private let descriptor: Int32

  /// Opens the file at `path`; "-" is standard input. Throws `.noSuchStore` where there is none.
  init(_ path: String) throws(StoreError) {
    let name = path == "-" ? InputFile.standardInput : path
    let descriptor = path == "-" ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw InputFile.error("open", name) }
    self.init(descriptor: descriptor, name: name)
  }

  /// Takes over an open descriptor.
  init(descriptor: Int32, name: String) {
    self.descriptor = descriptor
    self.name = name
  }

  deinit { close(descriptor) }

  /// What there is to read now, up to 256 KiB, waiting only where there is nothing; empty at the
  /// end (`read`).
  func readChunk() throws(StoreError) -> [UInt8] {
    var code: Int32 = 0
    let chunk = [UInt8](unsafeUninitializedCapacity: 256 << 10) { buffer, filled in
      var count = 0
      repeat {
        count = read(descriptor, buffer.baseAddress, buffer.count)
      } while count < 0 && errno == EINTR
      if count < 0 { code = errno }
      filled = max(0, count)
    }
    guard code == 0 else { throw InputFile.error("read", name, code) }
    return chunk
  }

  private static func error(_ operation: String, _ name: String, _ code: Int32 = errno)
    -> StoreError
  {
    StoreError(
      code == ENOENT ? .noSuchStore : .io,
      "cannot \(operation) the input: \(String(cString: strerror(code)))", path: name, errno: code)
  }
}
