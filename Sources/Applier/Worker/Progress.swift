internal import CSystem
internal import SluiceShared

/// A page of memory that an applier shares with its worker: which batch is being executed, and how much was asked of
/// the file system. To say so costs the worker a store, and the applier can look while the worker hangs in one step
/// of SQLite's, or when it is gone.
final class Progress: @unchecked Sendable {
  // Sendable: `add` only adds to words of the page, atomically; all else belongs to the thread that has the worker.
  let descriptor: Int32
  /// A word that says which batch, then one for each count.
  private let page: UnsafeMutablePointer<UInt64>
  /// The applier's: what it has taken of each count.
  private var taken: [Int: UInt64] = [:]
  /// The worker's: batches begun.
  private var begun: UInt32 = 0

  /// Makes one.
  convenience init() throws(StoreError) {
    let descriptor = csystem_shared_page()
    guard descriptor >= 0 else {
      throw StoreError(
        .io, "no memory to share with the process that executes batches", errno: -descriptor)
    }
    try self.init(owning: descriptor)
  }

  /// Another process's.
  init(owning descriptor: Int32) throws(StoreError) {
    self.descriptor = descriptor
    guard let page = csystem_map_shared_page(descriptor) else {
      throw StoreError(.io, "no memory to share with the process that executes batches")
    }
    self.page = page
  }

  deinit {
    csystem_unmap_shared_page(page)
    csystem_close(descriptor)
  }

  /// The worker begins with the batch at `index` of its request, or with what is none; or, where it is
  /// still at the same, got on with it.
  func begin(_ index: Int?) {
    begun &+= 1
    // One word, so that the two are never of different batches.
    csystem_store(page, UInt64(begun) << 32 | UInt64(index.map { $0 + 1 } ?? 0) & 0xFFFF_FFFF)
  }

  /// Which one that is, and a number that changes with each.
  var current: (number: UInt64, index: Int?) {
    let word = csystem_load(page)
    let index = Int(word & 0xFFFF_FFFF)
    return (word >> 32, index == 0 ? nil : index - 1)
  }

  // MARK: what was asked of the file system

  /// The worker's, from any thread.
  func add(
    _ operation: MeteredFileSystem.Operation, _ count: MeteredFileSystem.Count, _ number: Int
  ) {
    csystem_add(page + Progress.place(operation, count), UInt64(number))
  }

  /// The applier's: what was counted since it did this last.
  func takeCounts(
    _ take: (Int, MeteredFileSystem.Operation, MeteredFileSystem.Count) -> Void
  ) {
    for operation in MeteredFileSystem.Operation.allCases {
      for count in MeteredFileSystem.Count.allCases {
        let place = Progress.place(operation, count)
        let total = csystem_load(page + place)
        let news = total &- taken[place, default: 0]
        if news > 0 { take(Int(clamping: news), operation, count) }
        taken[place] = total
      }
    }
  }

  private static func place(
    _ operation: MeteredFileSystem.Operation, _ count: MeteredFileSystem.Count
  ) -> Int { 1 + operation.rawValue * 2 + count.rawValue }
}
