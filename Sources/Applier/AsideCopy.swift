internal import Glibc
internal import SluiceShared

/// A copy of a database and its journals in the scratch directory, to be recovered there; removed
/// with this object.
final class AsideCopy {
  private let directory: String
  var path: String { "\(directory)/source.sqlite" }

  private static let suffixes = ["", "-journal", "-wal"]

  /// Throws `.busy` where somebody writes the files meanwhile.
  init(of source: String) throws(StoreError) {
    let parent = try PosixFileSystem.temporaryDirectory.get()
    var template = Array("\(parent)/sluice-source-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw StoreError(
        .io,
        "no copy of the database can be made: \(String(cString: strerror(errno))); set TMPDIR to a directory on a local disk that this user may write to",
        path: parent, errno: errno)
    }
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let before = AsideCopy.suffixes.map { Stamp(of: source + $0) }
    for (suffix, stamp) in zip(AsideCopy.suffixes, before) where stamp != nil {
      try AsideCopy.copy(source + suffix, to: path + suffix)
    }
    guard before == AsideCopy.suffixes.map({ Stamp(of: source + $0) }) else {
      throw StoreError(
        .busy,
        "the database to begin with changed while it was copied; stop who writes it, or run `init` as a user who may write there",
        path: source)
    }
  }

  deinit {
    for suffix in AsideCopy.suffixes + ["-shm"] { unlink(path + suffix) }
    rmdir(directory)
  }

  private static func copy(_ source: String, to target: String) throws(StoreError) {
    let fileSystem = PosixFileSystem()
    let from = try fileSystem.open(source, .fixed)
    let to = try fileSystem.create(target, mode: 0o600)
    var offset: Int64 = 0
    while true {
      let piece = try from.read(1 << 20, at: offset)
      if piece.isEmpty { return }
      try to.write(piece, at: offset)
      offset += Int64(piece.count)
    }
  }

  /// What changes when a file is written.
  private struct Stamp: Equatable {
    let inode: UInt64
    let size: Int64
    let seconds: Int
    let nanoseconds: Int

    /// nil where there is no such file.
    init?(of path: String) {
      var status = stat()
      guard stat(path, &status) == 0 else { return nil }
      inode = UInt64(status.st_ino)
      size = Int64(status.st_size)
      seconds = status.st_mtim.tv_sec
      nanoseconds = status.st_mtim.tv_nsec
    }
  }
}
