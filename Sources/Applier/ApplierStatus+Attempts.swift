internal import SluiceJournal
internal import SluiceShared

/// What a beacon says of batches that end their applier: each is named, with a count, before it is
/// executed with care, and three times are a verdict.
extension ApplierStatus {
  static let mostAttempts: UInt32 = 3
  static let smallestGroup: UInt32 = 64

  /// What the first beacon of a term says, given the last one of the term before. An attempt that
  /// this very process survived was no batch's fault, and does not count.
  init(after inherited: Beacon?, survived: BatchID?) {
    self = inherited?.status ?? ApplierStatus()
    if let inherited, inherited.state != .released {
      // What a beacon says is checked against its checksum only: it must not end its successor.
      if uncleanTerms < .max { uncleanTerms += 1 }
    } else {
      uncleanTerms = 0
    }
    if let survived, survived == executing,
      let place = attempts.firstIndex(where: \.isExecuting)
    {
      attempts[place].count = max(1, attempts[place].count) - 1
    }
    for i in attempts.indices { attempts[i].isExecuting = false }
    groupBound = Self.smallestGroup
  }

  /// How many batches a term executes one a commit: those that the last term may have been executing
  /// when it ended. More after several such terms in a row, since others may have come before the one
  /// at fault.
  static func carefulBatches(after inherited: Beacon?) -> Int {
    guard let inherited, inherited.state != .released else { return 0 }
    let terms = min(inherited.status.uncleanTerms, 15) + 1
    return Int(max(1, inherited.status.groupBound)) * Int(terms)
  }

  /// The batch that is being executed with care.
  var executing: BatchID? { attempts.first(where: \.isExecuting)?.batch }

  /// How often an applier ended while it executed the batch.
  func attempts(at batch: BatchID) -> UInt32 {
    attempts.first { $0.batch == batch }?.count ?? 0
  }

  /// Another attempt begins.
  mutating func begin(_ batch: BatchID) {
    let before = attempts(at: batch)
    forget(batch)
    attempts.append(Attempt(batch: batch, count: before + 1, isExecuting: true))
  }

  /// The attempt does not count. False where none is under way.
  mutating func takeBack(_ batch: BatchID) -> Bool {
    guard let place = attempts.firstIndex(where: { $0.batch == batch && $0.isExecuting })
    else { return false }
    let before = attempts[place].count - 1
    attempts[place] = Attempt(batch: batch, count: before, isExecuting: false)
    if before == 0 { attempts.remove(at: place) }
    return true
  }

  mutating func forget(_ batch: BatchID) { attempts.removeAll { $0.batch == batch } }
}
