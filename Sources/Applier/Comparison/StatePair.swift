internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// The states before and behind a commit, and the pages that it changed.
struct StatePair {
  /// Why the rows that differ cannot be told.
  enum Failure: Error {
    /// A file of the store cannot be read.
    case store(StoreError)
    /// The database is not as SQLite makes them, or SQLite cannot read it.
    case untold(String)
  }

  enum Side: CaseIterable { case before, behind }

  let before: Snapshot
  let behind: Snapshot
  /// Those that the commit has, ascending.
  private let entries: [PageEntry]

  init(_ before: Snapshot, _ behind: Snapshot, _ entries: [PageEntry]) {
    self.before = before
    self.behind = behind
    self.entries = entries
  }

  subscript(side: Side) -> Snapshot { side == .before ? before : behind }

  /// Pages that are in both states and may be others.
  var changed: some Sequence<UInt32> {
    let count = min(before.pageCount, behind.pageCount)
    return entries.lazy.map(\.page).filter { $0 <= count }
  }

  /// Pages that the commit wrote.
  var written: some Sequence<UInt32> { entries.lazy.map(\.page) }

  /// Whether the page is another in the two states, or may be, or is in one of them only.
  func isChanged(_ page: UInt32) -> Bool {
    if page > min(before.pageCount, behind.pageCount) { return true }
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].page < page { low = middle + 1 } else { high = middle }
    }
    return low < entries.count && entries[low].page == page
  }

  func page(_ number: UInt32, _ side: Side) throws(Failure) -> BTreePage {
    let state = self[side]
    guard number > 0, number <= state.pageCount else {
      throw .untold("page \(number) is referred to, and the database has \(state.pageCount)")
    }
    do throws(StoreError) {
      let usable = state.pageSize - Int(try state.firstPage()[20])
      return BTreePage(try state.copy(ofPage: number), number: number, usable: usable)
    } catch {
      throw .store(error)
    }
  }
}
