extension World {
  /// What happened, to see that a run is worth something.
  package struct Statistics: Sendable, CustomStringConvertible {
    package enum Count: String, CaseIterable, Sendable {
      case operations = "file operations"
      case terms, batches, reads
      case outcomes = "outcomes told"
      case tokens = "tokens satisfied"
      case news = "times that who follows was told"
      case followed = "batches passed to who follows"
      case pastReads = "reads of the past"
      case expired = "reads of what is gone"
      case duplicates = "repeats of a key"
      case poisonous = "verdicts of poison"
      case timeLimits = "rejected for their time"
      case transactions = "interactive transactions"
      case parts = "of them sent in parts"
      case conflicts = "of them to be run again"
      case refusedPages = "of them refused"
      case turns
      // What the store went through.
      case logSegments = "log segments"
      case cutFrames = "of them freed of half a large commit"
      case pageSizes = "changes of the page size"
      case checkpoints
      case retired = "log segments retired"
      case deleted = "of them deleted"
      case removedCheckpoints = "checkpoints removed"
      case closedSegments = "journal segments closed"
      case removedSegments = "journal segments removed"
      case newWriters = "submits that went on under a new writer id"
      case quarantined = "in quarantine"
      // What was made to go wrong.
      case deaths
      case diedInOperation = "died in a file operation"
      case killed
      case poisoned = "ended by a batch"
      case workerEnds = "workers ended"
      case overran = "batches that took too long"
      case froze = "stood still"
      case outlasted = "stood still until all was applied"
      case rests = "rests of all writers"
      case silences = "times that days passed"
      case suspended = "machines suspended"
      case leaseErrors = "lease errors"
      case sharedLeases = "terms beside another"
      case unansweredHolders = "claims from who answers hints no more"
      case refusedRenewals = "renewals refused"
      case lockRequests = "requests to a table of locks"
      case lostAnswers = "of them lost, or their answers"
      case lateRequests = "of them carried out late"
      case doubledRequests = "of them carried out twice"
      case throttled = "of them throttled"
      case lostClaims = "claims lost with the item taken"
      case termsBeside = "terms of who waits for no answer of the table"
      case hints
      case lostHints = "of them lost"
      case lateHints = "of them late"
      case reorderedHints = "of them out of order"
      case doubledHints = "of them doubled"
      case forgedHints = "and forged ones"
      case forgedStandbys = "of them questions of standbys"
      case forgedFollowers = "of them questions of who follows"
      case slow = "operations of seconds"
      case lateAnswers = "late answers"
      case staleHandles = "stale handles"
      case lostOpens = "files no longer open"
      case sillyRenames = "removed files that were open"
      case staleNames = "stale names"
      case keptPages = "stale pages kept"
      case tornBeacons = "beacons torn for good"
      case machineStops = "machines stopped"
      case powerLosses = "losses of power"
      case clockJumps = "clock jumps"
      case cuts = "networks cut"
      case failures = "operations failed"
      case fullDisks = "disk full"
      case forged = "files of a stranger under a writer's id"
      case intruded = "files that keep to nothing"
      case intruderBatches = "of their batches in the history"
      case lateWrites = "failed writes in pieces"
      case lostCreates = "replies of create lost"
      case lostLinks = "replies of link lost"
      case lostUnlinks = "replies of unlink lost"
      case lostRenames = "replies to the renaming of current.sqlite lost"
      case tornReads = "torn reads"
      case tornListings = "torn listings"
      case tornWrites = "writes seen half"
      case damages = "bits turned over"
      case damagesFound = "of them found"
      case milliseconds = "simulated ms"
    }

    private var counts = [Int](repeating: 0, count: Count.allCases.count)

    package init() {}

    /// `numbers` as another process printed them.
    package init?(_ numbers: [Int]) {
      guard numbers.count == counts.count else { return nil }
      counts = numbers
    }

    package var numbers: [Int] { counts }

    package subscript(count: Count) -> Int {
      get { counts[Statistics.places[count] ?? 0] }
      set { counts[Statistics.places[count] ?? 0] = newValue }
    }

    private static let places = Dictionary(
      uniqueKeysWithValues: Count.allCases.enumerated().map { ($1, $0) })

    /// What never happened, and is to happen in any sweep of that kind that is worth something.
    package func absent(in kind: Simulation.Kind) -> [Count] {
      let wanted: [Count] =
        switch kind {
        case .system: Count.allCases.filter { $0 != .lostClaims && $0 != .termsBeside }
        case .log: [.terms, .batches, .reads, .retired]
        case .journal: [.batches, .removedSegments]
        case .lease:
          [
            .terms, .refusedRenewals, .lockRequests, .lostAnswers, .lateRequests, .doubledRequests,
            .throttled, .lostClaims, .termsBeside,
          ]
        }
      return wanted.filter { self[$0] == 0 }
    }

    package static func + (a: Statistics, b: Statistics) -> Statistics {
      var sum = a
      for (i, count) in b.counts.enumerated() { sum.counts[i] += count }
      return sum
    }

    package var description: String {
      Count.allCases.filter { self[$0] > 0 }.map { "\(self[$0]) \($0.rawValue)" }
        .joined(separator: ", ")
    }
  }
}
