package import SluiceShared

/// Which segment of `log/` holds what, found with few reads however many there are.
package final class LogPlaces {
  /// Those up to a segment that has a beacon, ascending.
  package let numbers: [UInt64]
  private let log: Log
  /// What was asked of segments by now; nil where one has no beacon, or cannot be read.
  private var inherited: [UInt64: TxID?] = [:]

  package init(of store: StoreHandle, upTo newest: UInt64) throws(StoreError) {
    // A log of its own, so that its files are closed with it.
    log = Log(of: store)
    numbers = try log.listed().filter { $0 <= newest }.sorted()
  }

  /// The segment from which on the log holds all commits behind `txid`: the last one that begins no later.
  /// nil where there is none any more.
  ///
  /// Segments with a beacon begin ever later, also those that are no part of the history because what they
  /// published came late (docs/GUARANTEES.md, 6 (a)).
  package func holding(_ txid: TxID) throws(StoreError) -> UInt64? {
    var low = 0
    var high = numbers.count - 1
    var found: UInt64?
    while low <= high {
      let middle = (low + high) / 2
      var place = middle
      while place >= low, try beginning(numbers[place]) == nil { place -= 1 }
      guard place >= low, let begins = try beginning(numbers[place]) else {
        low = middle + 1
        continue
      }
      if begins <= txid {
        found = numbers[place]
        low = middle + 1
      } else {
        high = place - 1
      }
    }
    return found
  }

  /// Behind which batch the lowest segment begins; nil where it has no beacon.
  package func first() throws(StoreError) -> TxID? {
    guard let lowest = numbers.first else { return nil }
    return try beginning(lowest)
  }

  /// The last segment with a beacon before `number`.
  package func before(_ number: UInt64) throws(StoreError) -> UInt64? {
    for other in numbers.reversed() where other < number {
      if try beginning(other) != nil { return other }
    }
    return nil
  }

  /// Bytes up to what is published in a segment; its file is longer, and sparse.
  package func usedBytes(_ number: UInt64) throws(StoreError) -> Int64 {
    guard let segment = try opened(number) else { return 0 }
    return try segment.control().beacon?.position.end ?? Block.firstLogFrame
  }

  /// The last batch before a segment; nil where it has no beacon, or cannot be read.
  package func beginning(_ number: UInt64) throws(StoreError) -> TxID? {
    if let known = inherited[number] { return known }
    var begins: TxID?
    if let segment = try opened(number) {
      do throws(StoreError) {
        if let beacon = try segment.control().beacon {
          begins = try segment.startRecord(at: beacon.position.startFrame).inherited.txid
        }
      } catch {
        guard error.code == .damaged else { throw error }
      }
    }
    inherited[number] = .some(begins)
    return begins
  }

  private func opened(_ number: UInt64) throws(StoreError) -> LogSegment? {
    do throws(StoreError) { return try log.open(number) } catch {
      guard [.damaged, .foreign, .unsupported].contains(error.code) else { throw error }
      return nil
    }
  }
}
