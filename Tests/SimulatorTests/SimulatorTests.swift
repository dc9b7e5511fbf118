import SluiceShared
import SluiceSimulator
import Testing

/// A few seeds of what `make simulate` runs by the thousand.
@Suite("Whole systems in simulated time", .serialized)
struct SimulatorTests {
  @Test func noPromiseBreaksInAFewSeeds() throws {
    let simulation = try Simulation()
    var total = World.Statistics()
    for seed in 1...25 as ClosedRange<UInt64> {
      let (violation, statistics) = simulation.run(seed: seed)
      #expect(violation == nil, "make simulate SEED=\(seed)")
      total = total + statistics
    }
    // They are worth something.
    // What less than one run in ten meets may be absent.
    let seldom: Set<World.Statistics.Count> = [
      .tornBeacons, .lostRenames, .newWriters, .staleHandles, .staleNames, .keptPages, .lostOpens,
      .leaseErrors, .forged, .overran, .timeLimits, .expired, .lockRequests, .lostAnswers,
      .lateRequests, .doubledRequests, .throttled, .refusedPages, .silences,
      .parts, .cutFrames, .lostLinks, .rests, .unansweredHolders,
    ]
    let absent = total.absent(in: .system)
    #expect(seldom.isSuperset(of: absent), "\(absent)")
    #expect(total[.terms] > 50)
    #expect(total[.deaths] > 100)
    #expect(total[.batches] > 500)
    #expect(total[.reads] > 250)
    #expect(total[.outcomes] > 100)
    #expect(total[.tokens] > 25)
  }

  /// Also where the store that it begins with was made another time; 14130 damages a byte that it
  /// chooses by what stands there.
  @Test(arguments: [7, 14130]) func theSameSeedRunsTheSame(_ seed: UInt64) throws {
    var first: [String] = []
    var second: [String] = []
    _ = try Simulation().run(seed: seed) { first.append($0) }
    _ = try Simulation().run(seed: seed) { second.append($0) }
    #expect(first.count > 1000)
    #expect(first == second)
  }

  /// A sweep's runs are not traced, and follow others in the same process.
  @Test func aTraceChangesNothing() throws {
    let simulation = try Simulation()
    _ = simulation.run(seed: 5)
    let plain = simulation.run(seed: 6)
    let traced = try Simulation().run(seed: 6) { _ in }
    #expect(plain.violation == traced.violation)
    #expect(plain.statistics.numbers == traced.statistics.numbers)
  }

  /// All but these, of which `docs/GUARANTEES.md` says why no run can show it.
  @Test func eachCheckHasItsMutation() {
    #expect(Set(Mutation.all.map(\.check)).count == Mutation.all.count)
    #expect(
      Set(SafetyCheck.allCases).subtracting(Mutation.all.map(\.check))
        == [
          .newJournalSegmentAfterError, .settingsEnd, .temporaryDenied, .ownFlush, .shadowNames,
          .shadowedPragmas, .lateRights, .readableText, .unboundTables, .boundedSchema,
          .boundedOutcomes, .ordered, .ownTrees,
          .kindAfterClaim, .successorOfMarked, .checkpointWithinLog, .verdictByName,
          .boundedLooks, .extensionContent,
          .undoneForgotten,
          .undoneWithTransaction, .compareOutcomes, .compareContents, .compareRows,
          .retireBehindDurable,
          .provenCopy, .settledCopy, .describedLast, .commitsAlone, .ownImport,
        ])
  }

  @Test func theLeaseInATableKeepsItsAccount() throws {
    let simulation = try Simulation()
    var total = World.Statistics()
    for seed in 1...60 as ClosedRange<UInt64> {
      let (violation, statistics) = simulation.run(.lease, seed: seed)
      #expect(violation == nil, "make simulate SEED=\(seed) KIND=lease")
      total = total + statistics
    }
    #expect(total.absent(in: .lease).isEmpty)
  }

  @Test(arguments: Mutation.all.filter { $0.kind == .lease }.map(\.check))
  func aCheckOfTheLeaseLeftOutIsFound(_ check: SafetyCheck) throws {
    let mutation = try #require(Mutation.all.first { $0.check == check })
    let simulation = try Simulation(omitting: check.rawValue)
    // By who waits for the table's answers, and by who waits for none.
    for isBeside in [false, true] {
      let found = (1...400 as ClosedRange<UInt64>).first { seed in
        Simulation.waitsForNoAnswer(seed) == isBeside
          && simulation.run(.lease, seed: seed).violation.map(mutation.isShown) == true
      }
      let seed = try #require(found, "\(check), waits: \(!isBeside)")
      #expect(try Simulation().run(.lease, seed: seed).violation == nil)
    }
  }

  /// Those that nearly every run shows; `make simulate` finds all of `Mutation.all`.
  @Test(arguments: [
    "deduplicate", "autocommit", "changeCounter", "syncJournalDirectory", "lookAfterHint",
    "placeInItsSegment", "retireSuperseded",
  ])
  func aCheckLeftOutIsFound(_ check: String) throws {
    let mutation = try #require(Mutation.all.first { $0.check.rawValue == check })
    let simulation = try Simulation(omitting: check)
    let found = (1...60 as ClosedRange<UInt64>).first { seed in
      simulation.run(seed: seed).violation.map(mutation.isShown) == true
    }
    // It is the check that makes the difference.
    #expect(try Simulation().run(seed: #require(found)).violation == nil)
  }
}
