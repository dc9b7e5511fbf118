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
    // `log/` last: a segment that is moved meanwhile is in one of the two lists.
    var paths: [UInt64: String] = [:]
    for directory in [layout.oldLog, layout.log] {
      var names: [String] = []
      do throws(StoreError) { names = try fileSystem.list(directory) } catch {
        guard error.isNoSuchFile else { throw error }
      }
      for name in names {
        if let number = StoreLayout.logNumber(name) { paths[number] = "\(directory)/\(name)" }
      }
    }
    for (number, path) in paths.sorted(by: { $0.key < $1.key }) {
      do throws(StoreError) {
        let size = try fileSystem.status(path).size
        all.append(One(number: number, path: path, size: size))
        bytes += size
      } catch {
        // Retention removed it.
        guard error.isNoSuchFile else { throw error }
      }
    }
  }
}
