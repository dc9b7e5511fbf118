internal import SluiceShared

/// How long a read may take, finding its snapshot included.
struct TimeLimit: Sendable {
  private let limit: Duration
  /// Boot time.
  private let end: Duration
  private let clock: any Clock

  init(_ limit: Duration, _ clock: any Clock) {
    self.limit = limit
    self.clock = clock
    end = clock.elapsed() + limit
  }

  var isOver: Bool { clock.elapsed() >= end }

  func check() throws(StoreError) { if isOver { throw error } }

  var error: StoreError {
    StoreError(
      .timeout,
      "the read was interrupted after \(limit), which is all the time that it was given; ask for less at a time, or give it more (a function: a longer timeout)"
    )
  }
}
