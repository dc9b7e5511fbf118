internal import SluiceJournal
internal import SluiceShared

/// Of whom a look may read, by the memory of what waits.
extension JournalIntake {
  enum Room: Equatable {
    case enough
    /// However much of others waits, a little is read of who has nothing waiting.
    case little
    /// Only the holder of the turn is read, and only while nothing of it waits. All that waits here waits for
    /// it, so that without its COMMIT and its signs of life nothing would be executed until the turn is over.
    case holderOnly(WriterID)
    case none

    func isThere(for writer: WriterID, _ waiting: WaitingBatches) -> Bool {
      switch self {
      case .enough: true
      case .little: !waiting.has(writer)
      case .holderOnly(let holder): writer == holder && !waiting.has(writer)
      case .none: false
      }
    }
  }

  var room: Room {
    guard isFull else { return .enough }
    guard waiting.weight >= Limits.waitingBytes * 3 / 2 else { return .little }
    return turnHolder.map { .holderOnly($0) } ?? .none
  }

  var isFull: Bool { waiting.weight >= Limits.waitingBytes }

  func mayBeRead(_ segment: JournalSegmentReader) -> Bool {
    segment.id.number == 1 || segment.listing < names.listings || !environment.makes(.listAgain)
  }

  /// Nothing that was in the journal when it was polled last is left out for now.
  var isComplete: Bool { isIdle && heldBack.isEmpty && withoutRoom.isEmpty }
}
