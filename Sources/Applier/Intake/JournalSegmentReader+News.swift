extension JournalSegmentReader {
  /// What one look at the segment came to.
  struct News {
    /// Whole frames, in order.
    var frames: [Frame] = []
    var left = Left.nothing
  }

  /// What a look left behind what it read.
  enum Left {
    /// All that is there now was looked at.
    case nothing
    case more
    /// A frame that is larger than was allowed for.
    case large
  }
}
