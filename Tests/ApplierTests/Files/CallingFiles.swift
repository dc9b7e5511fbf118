import SluiceShared

@testable import SluiceFakes

// File systems that let something happen in between.

/// Calls back before some operations.
final class CallingFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: set before the file system is used.
  var beforeOpenForWriting: (String) -> Void = { _ in }
  var beforeWriting: (String) -> Void = { _ in }
  var beforeListing: (String) -> Void = { _ in }

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    switch operation.action {
    case .open where operation.access == .write: beforeOpenForWriting(operation.path)
    case .write: beforeWriting(operation.path)
    case .list: beforeListing(operation.path)
    default: break
    }
    return .done
  }
}

/// Lets something happen before the journal is read for the first time.
final class ReadHookFileSystem: HookedFileSystem, @unchecked Sendable {
  // Sendable: used by one thread.
  var beforeFirstRead: (() -> Void)?

  override func fate(of operation: FileOperation) throws(StoreError) -> FileFate {
    guard operation.action == .read, operation.path.hasSuffix(".seg"),
      let action = beforeFirstRead
    else { return .done }
    beforeFirstRead = nil
    action()
    return .done
  }
}

/// Lets time pass with each read: a millisecond a MiB.
final class TimedReads: HookedFileSystem, @unchecked Sendable {
  // Sendable: what it has is constant.
  private let clock: ManualClock

  init(_ base: any FileSystem, _ clock: ManualClock) {
    self.clock = clock
    super.init(base)
  }

  override func did(_ operation: FileOperation) {
    guard operation.action == .read else { return }
    clock.advance(by: .nanoseconds((Int64(operation.count) * 1_000_000) >> 20))
  }
}
