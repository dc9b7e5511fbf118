import SluiceFakes
import SluiceJournal

/// Which file operation a scenario means: `write beacon`, `read mark of 3`, `sync`.
struct FileOperationPattern: Equatable {
  enum Place: String, CaseIterable {
    case mark, header, control, beacon, frame
  }

  var action: FileOperation.Action
  /// Where in a segment; nil: anywhere.
  var place: Place?
  /// The number of the segment; nil: any.
  var segment: UInt64?

  func matches(_ operation: FileOperation) -> Bool {
    guard operation.action == action else { return false }
    let name = operation.path.split(separator: "/").last.map(String.init) ?? ""
    let log = StoreLayout.logNumber(name)
    if let segment, (log ?? StoreLayout.journalSegment(name)?.number) != segment { return false }
    guard let place else { return true }
    let (offset, end) = (operation.offset, operation.offset + Int64(operation.count))
    return switch place {
    case .mark: offset == Block.mark && operation.count == Block.size
    case .header: offset == Block.header
    // The mark, the header and the beacons, read at once.
    case .control: offset == 0 && operation.count == 4 * Block.size
    case .beacon: offset >= Block.beacons.0 && end <= Block.firstLogFrame && log != nil
    // A journal segment's first frame goes with its header.
    case .frame: end > (log == nil ? Block.firstJournalFrame : Block.firstLogFrame)
    }
  }
}
