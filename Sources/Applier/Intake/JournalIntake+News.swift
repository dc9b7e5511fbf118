internal import SluiceJournal
internal import SluiceShared

extension JournalIntake {
  /// Whether these writers, of which there is one at least, have segments that are known and may be read.
  func mayReadNext(of writers: Set<WriterID>) -> Bool {
    !writers.isEmpty
      && writers.allSatisfy { self.writers[$0]?.segments.first.map(mayBeRead) ?? false }
  }

  /// When something new of a writer was found last (boot time); an empty frame counts. nil: it has no file.
  func lastNews(of writer: WriterID) -> Duration? { writers[writer]?.segments.first?.lastNews }
}
