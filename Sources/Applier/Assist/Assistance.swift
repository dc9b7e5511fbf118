internal import SluiceShared

/// How an assistant works: who needs an outcome and finds nobody leading leads for a moment.
package struct Assistance: Sendable {
  /// Between the beginnings of two terms of a store's assistants at least.
  package var pause: Duration = .seconds(1)
  /// A term that has found nothing for so long is over.
  package var linger: Duration = .milliseconds(200)
  /// When nobody in the process waits any more, the term serves others for so long at most.
  package var longestLinger: Duration = .seconds(1)
  /// A term ends after this, between two groups of batches, whoever waits. The next one may begin at once.
  package var longestTerm: Duration = .seconds(30)

  package init() {}

  /// For each other writer that may be about to claim: about what a claim takes until others see it.
  static let claimTime = Duration.milliseconds(20)
  /// After so many beats were missed the lease is asked, which waits longer.
  static let missedBeats = 3
  /// One term in so many looks after what is old; the others end before that is done.
  static let termsPerRetirement: UInt64 = 16
}
