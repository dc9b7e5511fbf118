internal import SluiceJournal
internal import SluiceShared

/// The log's segments as files, wherever retention has them.
struct SegmentFiles {
  struct One {
    var number: UInt64
    var path: String
    var size: Int64
  }

  /// Ascending.
  private(set) var all: [One] = []
  /// Bytes of all that were written in them, about.
  private(set) var bytes: Int64 = 0

  init(_ layout: StoreLayout, _ fileSystem: any FileSystem) throws(StoreError) {
    // `log/` first: a segment that is moved meanwhile is in one of the two lists.
    var paths: [UInt64: String] = [:]
    for directory in [layout.log, layout.oldLog] {
      var names: [String] = []
      do throws(StoreError) { names = try fileSystem.list(directory) } catch {
        guard error.isNoSuchFile else { throw error }
      }
      for name in names {
        if let number = StoreLayout.logNumber(name) { paths[number] = "\(directory)/\(name)" }
      }
    }
    for (number, path) in paths.sorted(by: { $0.key < $1.key }) {
      // Moved since it was listed, or removed.
      let moved = layout.oldSegment(number)
      for path in [path, moved] {
        do throws(StoreError) {
          let size = try fileSystem.status(path).size
          all.append(One(number: number, path: path, size: size))
          bytes += size
          break
        } catch {
          guard error.isNoSuchFile else { throw error }
        }
      }
    }
  }

  /// Whether retention has taken the segment away.
  static func isGone(_ number: UInt64, _ layout: StoreLayout, _ fileSystem: any FileSystem)
    throws(StoreError) -> Bool
  {
    try !SegmentFiles(layout, fileSystem).all.contains { $0.number == number }
  }
}
