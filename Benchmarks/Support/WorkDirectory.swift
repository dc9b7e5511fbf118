internal import Glibc
internal import SluiceShared

/// A fresh directory, removed with everything in it when it is let go, unless it is to be kept.
package final class WorkDirectory {
  package let path: String
  package var isKept = false

  /// Makes it in `parent`, its name beginning with `prefix` (`mkdtemp`).
  package init(in parent: String, prefix: String) throws(RunError) {
    var template = Array("\(parent)/\(prefix).XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw RunError(
        "no directory can be made in \(parent): \(String(cString: strerror(errno)))")
    }
    path = template.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  deinit { if !isKept { Self.remove(path) } }

  /// `$TMPDIR`, else `/tmp`.
  package static var temporary: String { getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp" }

  /// A path in it.
  package subscript(_ name: String) -> String { "\(path)/\(name)" }

  /// Removes a file, or a directory with everything in it; links are not followed.
  package static func remove(_ path: String) {
    let files = PosixFileSystem()
    if let status = try? files.status(path), status.kind == .directory {
      for name in (try? files.list(path)) ?? [] { remove("\(path)/\(name)") }
    }
    Glibc.remove(path)
  }
}
