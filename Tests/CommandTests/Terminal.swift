import Glibc
import Testing

/// A terminal that nobody looks at: a program writes to `program`, and what it wrote is read here.
final class Terminal {
  private let screen: Int32
  private let programEnd: Int32

  // <asm-generic/ioctls.h>
  private static let setLock: UInt = 0x4004_5431
  private static let getNumber: UInt = 0x8004_5430

  init() throws {
    screen = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)
    try #require(screen >= 0)
    var isLocked: Int32 = 0
    var number: Int32 = 0
    try #require(
      ioctl(screen, Self.setLock, &isLocked) == 0 && ioctl(screen, Self.getNumber, &number) == 0)
    programEnd = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
    try #require(programEnd >= 0)
  }

  deinit {
    close(screen)
    close(programEnd)
  }

  /// A descriptor for one program, which closes it.
  func program() throws -> Int32 {
    let descriptor = fcntl(programEnd, F_DUPFD_CLOEXEC, 0)
    try #require(descriptor >= 0)
    return descriptor
  }

  /// What was written since the last look.
  func text() -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(screen, &chunk, chunk.count)
      guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk[..<count]
    }
  }
}
