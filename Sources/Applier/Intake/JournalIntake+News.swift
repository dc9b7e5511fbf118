internal import SluiceJournal
internal import SluiceShared

extension JournalIntake {
  /// When something new of a writer was found last (boot time); an empty frame counts. nil: it has no file.
  func lastNews(of writer: WriterID) -> Duration? { writers[writer]?.segments.first?.lastNews }
}
