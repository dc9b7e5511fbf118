package import SluiceShared

/// Any file system, with what was asked of each path counted.
package final class CountingFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: the counts are under a lock.
  private let counted = Monitor([FileOperation.Action: [String: Int]]())
  private let read = Monitor([String: Int]())

  package init(_ base: any FileSystem) { super.init(base) }

  /// How often `action` was done, to paths that contain `part`; to all without it.
  package func count(_ action: FileOperation.Action, _ part: String? = nil) -> Int {
    counted.withLock { counted in
      (counted[action] ?? [:]).reduce(0) { sum, entry in
        part.map { entry.key.contains($0) } ?? true ? sum + entry.value : sum
      }
    }
  }

  /// The bytes that were read of each path.
  package var bytesRead: [String: Int] { read.withLock { $0 } }

  /// Every operation on every path.
  package var total: Int {
    counted.withLock { $0.values.reduce(0) { $0 + $1.values.reduce(0, +) } }
  }

  package func reset() {
    counted.withLock { $0 = [:] }
    read.withLock { $0 = [:] }
  }

  package override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    counted.withLock { $0[operation.action, default: [:]][operation.path, default: 0] += 1 }
    return .done
  }

  package override func did(_ operation: FileOperation) {
    guard operation.action == .read else { return }
    read.withLock { $0[operation.path, default: 0] += operation.count }
  }
}
