internal import Glibc
internal import SluiceShared

/// Which processes of this host hold locks on a database's files, for a message.
///
/// From the kernel's table (/proc/locks): opening the file to ask, and closing it, would drop the
/// locks that this process itself may have on it.
enum LockHolders {
  /// Such as `process 4711 (python3)`; empty where none is known, as for another host's.
  static func of(_ path: String) -> [String] {
    let files = [path, "\(path)-shm"].compactMap(FileName.init)
    let own = "\(getpid())"
    var seen: [String] = []
    for line in text("/proc/locks").split(separator: "\n") {
      // 1: POSIX  ADVISORY  WRITE 4711 fe:01:131 1073741824 1073741825
      let words = line.split(separator: " ")
      guard words.count == 8, words[1] == "POSIX" || words[1] == "OFDLCK", words[3] == "WRITE",
        files.contains(where: { $0.isMeant(by: words[5]) })
      else { continue }
      let process = String(words[4])
      if process != own, !seen.contains(process) { seen.append(process) }
    }
    return seen.map { process in
      guard let id = Int(process), id > 0 else { return "another process" }
      let name = text("/proc/\(id)/comm").split(separator: "\n").first
      return name.map { "process \(id) (\($0))" } ?? "process \(id)"
    }
  }

  private struct FileName {
    private let device: dev_t
    private let inode: ino_t

    init?(_ path: String) {
      var status = stat()
      guard stat(path, &status) == 0 else { return nil }
      device = status.st_dev
      inode = status.st_ino
    }

    /// `text` is major:minor:inode, the first two hexadecimal.
    func isMeant(by text: Substring) -> Bool {
      let parts = text.split(separator: ":")
      guard parts.count == 3, let major = UInt64(parts[0], radix: 16),
        let minor = UInt64(parts[1], radix: 16), let number = UInt64(parts[2])
      else { return false }
      let device = UInt64(device)
      return number == UInt64(inode)
        && major == (device >> 8) & 0xFFF | (device >> 32) & ~0xFFF
        && minor == device & 0xFF | (device >> 12) & ~0xFF & 0xFFFF_FFFF
    }
  }

  private static func text(_ path: String) -> String {
    guard let file = try? PosixFileSystem().open(path, .fixed),
      let bytes = try? file.read(1 << 20, at: 0)
    else { return "" }
    return String(decoding: bytes, as: UTF8.self)
  }
}
