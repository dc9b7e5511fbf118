internal import Glibc
package import SluiceShared

/// All bytes of a file, of those in `/proc` too, which do not tell their size.
package func readAll(_ path: String) throws(StoreError) -> [UInt8] {
  let file = try PosixFileSystem().open(path, .fixed)
  var bytes: [UInt8] = []
  while true {
    let piece = try file.read(64 << 10, at: Int64(bytes.count))
    if piece.isEmpty { return bytes }
    bytes += piece
  }
}

/// The lines of a text file, without their ends.
package func readLines(_ path: String) throws(StoreError) -> [Substring] {
  String(decoding: try readAll(path), as: UTF8.self).split(separator: "\n")
}

/// The path of the running executable.
package func ownExecutable() throws(StoreError) -> String {
  try PosixFileSystem().readSymbolicLink("/proc/self/exe")
}

/// The path without its last component.
package func directory(of path: String) -> String {
  guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return "/" }
  return String(path[..<slash])
}

/// The type of the file system that an absolute path lies on, such as `ext4` or `tmpfs`.
package func fileSystemType(of path: String) throws(StoreError) -> String {
  var best = (mount: "", type: "unknown")
  for line in try readLines("/proc/self/mounts") {
    let fields = line.split(separator: " ").map(String.init)
    guard fields.count > 2 else { continue }
    let mount = fields[1]
    let contains = path == mount || mount == "/" || path.hasPrefix(mount + "/")
    if contains, mount.utf8.count >= best.mount.utf8.count { best = (mount, fields[2]) }
  }
  return best.type
}

/// Prints a line that is to be seen at once, also where standard output is a pipe.
package func say(_ line: String) {
  print(line)
  fflush(nil)
}
