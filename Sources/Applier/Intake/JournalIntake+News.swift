internal import SluiceJournal
internal import SluiceShared

extension JournalIntake {
  /// When a segment is to be looked at again of which no hint tells: one that is on its way out, or whose next
  /// frame is not whole yet. nil: there is none.
  var ownNextPoll: Duration? {
    var next: Duration?
    for queue in writers.all {
      guard let segment = queue.segments.first, segment.mark.isSet || segment.isDoubtful,
        !isHeldBack(segment.id.writer)
      else { continue }
      next = min(next ?? segment.nextPoll, segment.nextPoll)
    }
    return next
  }

  /// Whether these writers, of which there is one at least, have segments that are known and may be read.
  func mayReadNext(of writers: Set<WriterID>) -> Bool {
    !writers.isEmpty
      && writers.allSatisfy { self.writers[$0]?.segments.first.map(mayBeRead) ?? false }
  }

  /// When something new of a writer was found last (boot time); an empty frame counts. nil: it has no file.
  func lastNews(of writer: WriterID) -> Duration? { writers[writer]?.segments.first?.lastNews }
}
