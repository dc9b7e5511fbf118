import Foundation
import SluiceFakes
import SluiceLease
import SluiceShared

/// What was asked a second, as docs/OPERATIONS counts it.
struct IdleRates: CustomStringConvertible {
  /// Listings and the like, each metered as 4 KiB.
  var listings = 0.0
  /// Each metered as 32 KiB. A write goes to the server with its sync.
  var reads = 0.0
  var writes = 0.0
  var tableReads = 0.0
  var tableWrites = 0.0

  static let secondsPerMonth = 730 * 3600.0

  /// With `elastic` throughput.
  var fileDollars: Double {
    let read = (listings * 4 + reads * 32) / 1_048_576 * Self.secondsPerMonth
    let written = writes * 32 / 1_048_576 * Self.secondsPerMonth
    return read * 0.03 + written * 0.06
  }

  var tableDollars: Double {
    (tableReads * 0.125 + tableWrites * 0.625) * Self.secondsPerMonth / 1_000_000
  }

  var dollars: Double { fileDollars + tableDollars }

  /// KiB a second, as they are metered.
  var readKiB: Double { listings * 4 + reads * 32 }
  var writtenKiB: Double { writes * 32 }

  var description: String {
    func number(_ value: Double) -> String { String(format: "%.4f", value) }
    return
      "a second: \(number(listings)) listings, \(number(reads)) reads, \(number(writes)) writes; of the table \(number(tableReads)) reads, \(number(tableWrites)) writes; a month: $\(number(fileDollars)) + $\(number(tableDollars))"
  }

  init(_ files: [CountingFileSystem], _ table: CountedTable?, over time: Duration) {
    let seconds = time.inSeconds
    func count(_ actions: [FileOperation.Action]) -> Double {
      Double(files.reduce(0) { sum, files in sum + actions.reduce(0) { $0 + files.count($1) } })
        / seconds
    }
    reads = count([.read])
    writes = count([.write])
    listings = count([
      .open, .create, .list, .link, .unlink, .makeDirectory, .setPermissions, .syncDirectory,
      .status, .replaceSymbolicLink, .readSymbolicLink, .resize,
    ])
    let asked = table?.asked
    tableReads = Double(asked?.reads ?? 0) / seconds
    tableWrites = Double(asked?.writes ?? 0) / seconds
  }
}

/// A table of locks with one item, which answers at once and counts.
final class CountedTable: LockTable, Sendable {
  private let state = Monitor((item: LockItem?.none, reads: 0, writes: 0))

  var asked: (reads: Int, writes: Int) { state.withLock { ($0.reads, $0.writes) } }

  func reset() { state.withLock { ($0.reads, $0.writes) = (0, 0) } }

  func perform(_ request: LockRequest, atMost limit: Duration) -> Result<LockAnswer, LockFailure> {
    .success(
      state.withLock { state in
        switch request {
        case .read:
          state.reads += 1
          return .item(state.item)
        case .put(let new, let condition):
          state.writes += 1
          guard condition.holds(of: state.item) else { return .refused(state.item) }
          state.item = new
          return .written
        case .update(let new, let condition):
          state.writes += 1
          guard condition.holds(of: state.item), state.item != nil else {
            return .refused(state.item)
          }
          state.item?.lockID = new.lockID
          state.item?.state = new.state
          state.item?.expires_s = new.expires_s
          return .written
        }
      })
  }
}
