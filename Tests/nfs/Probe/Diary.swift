import Glibc
import SluiceShared

/// What a process was told, line by line, in a file on a disk that its host's death leaves intact.
final class Diary: Sendable {
  // In each guest the file lies on the host's disk, and only what is synced gets there.
  private let descriptor: Monitor<Int32>

  init(_ path: String) throws(StoreError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw StoreError(.io, "a diary cannot be opened", path: path, errno: errno)
    }
    self.descriptor = Monitor(descriptor)
  }

  /// Adds lines; with `sync` they are on the disk when this returns.
  func add(_ lines: String..., sync: Bool = false) {
    let text = lines.map { $0 + "\n" }.joined()
    descriptor.withLock { descriptor in
      let written = text.withCString { write(descriptor, $0, strlen($0)) }
      precondition(written == text.utf8.count, "the diary cannot be written")
      if sync { fdatasync(descriptor) }
    }
  }
}
