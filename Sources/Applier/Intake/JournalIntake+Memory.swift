internal import SluiceJournal
internal import SluiceShared

/// Of whom a look may read, by the memory of what waits.
///
/// All may be read until so much waits as there is room for. Then a little is read in each look, and only of these:
///
/// - whose user has less waiting than each user has of its own, whatever others have: one frame may take more than
///   all the room, and be minutes of work;
/// - who has nothing waiting, until half as much again waits;
/// - who has the turn, while nothing of it waits. All that waits here waits for it, so that without its COMMIT and its
///   signs of life nothing would be executed until the turn is over.
extension JournalIntake {
  func hasRoom(for segment: JournalSegmentReader) -> Bool {
    // Of a file that could not be opened nothing is read.
    guard isFull, let user = user(of: segment) else { return true }
    if waiting.weight(of: user) < Limits.waitingBytesOfUser { return true }
    guard !waiting.has(segment.id.writer) else { return false }
    return waiting.weight < Limits.waitingBytes * 3 / 2 || segment.id.writer == turnHolder
  }

  /// Those that may be read. Whose they are is found out of some that were never opened.
  func withRoom(_ due: [JournalSegmentReader]) -> [JournalSegmentReader] {
    guard isFull else { return due }
    var peeks = 0
    return due.filter { segment in
      if user(of: segment) == nil {
        peeks += 1
        guard peeks <= JournalIntake.mostPeeks else { return false }
        openFiles.makeRoom(for: [segment])
        // What is wrong with it is told when it is read.
        _ = try? segment.open()
        openFiles.note(segment)
      }
      return hasRoom(for: segment)
    }
  }

  var isFull: Bool { waiting.weight >= Limits.waitingBytes }

  func mayBeRead(_ segment: JournalSegmentReader) -> Bool {
    segment.id.number == 1 || segment.listing < names.listings || !environment.makes(.listAgain)
  }

  /// Nothing that was in the journal when it was polled last is left out for now.
  var isComplete: Bool { isIdle && heldBack.isEmpty && withoutRoom.isEmpty }
}
