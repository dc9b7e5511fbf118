import SluiceShared
import Testing

@testable import SluiceApplier

@Suite("A batch is too long by its own time, and not by the host's")
struct BatchWatchTests {
  private static let batchTime = Duration.seconds(30)

  /// A child that executes the batch at an index, or what is none, as time passes.
  private struct Child {
    var watch: BatchWatch
    var look: BatchWatch.Look
    var queued = Duration.zero

    init(
      _ patience: WorkerPatience = WorkerPatience(), batchTime: Duration = BatchWatchTests.batchTime
    ) {
      look = BatchWatch.Look(now: .seconds(1000), number: 7, index: nil, processorTime: .seconds(5))
      watch = BatchWatch(look, batchTime: batchTime, patience)
    }

    mutating func begin(_ index: Int?) {
      look.number += 1
      look.index = index
      #expect(watch.look(look, queued: { queued }) == .goesOn)
    }

    /// After each half second, in which it computed, waited for a processor, or neither.
    mutating func pass(_ time: Duration, computing: Double = 0, queued share: Double = 0)
      -> BatchWatch.Finding
    {
      let end = look.now + time
      while look.now < end {
        look.now += .milliseconds(500)
        look.processorTime += .milliseconds(500) * computing
        queued += .milliseconds(500) * share
        let found = watch.look(look, queued: { queued })
        if found != .goesOn { return found }
      }
      return .goesOn
    }
  }

  @Test func whatIsStated() {
    let patience = WorkerPatience()
    #expect(patience.longestBatch(.seconds(30)) == .seconds(120))
    #expect(patience.longestBatch(.seconds(1)) == .seconds(120))
    #expect(patience.longestBatch(.seconds(600)) == .seconds(2400))
  }

  @Test func processorTime() {
    var child = Child()
    child.begin(0)
    #expect(child.pass(.seconds(29), computing: 1) == .goesOn)
    // What the one before used is not its own.
    child.begin(1)
    #expect(child.pass(.milliseconds(29_500), computing: 1) == .goesOn)
    #expect(child.pass(.milliseconds(500), computing: 1) == .usedUp(1))
  }

  @Test func theClock() {
    var child = Child()
    child.begin(0)
    #expect(child.pass(.seconds(119), computing: 0.2) == .goesOn)
    child.begin(3)
    #expect(child.pass(.milliseconds(119_500), computing: 0.2) == .goesOn)
    #expect(child.pass(.milliseconds(500), computing: 0.2) == .waits(3))
  }

  /// On a host with forty times as much to do as it has processors for.
  @Test func whatItWaitsForAProcessorIsNotCounted() {
    var child = Child()
    child.begin(0)
    #expect(child.pass(.seconds(1100), computing: 0.025, queued: 0.975) == .goesOn)
    #expect(child.pass(.seconds(200), computing: 0.025, queued: 0.975) == .usedUp(0))
    // What was waited for before it is not counted twice.
    child = Child()
    child.begin(0)
    #expect(child.pass(.seconds(1000), computing: 0.01, queued: 0.99) == .goesOn)
    child.begin(1)
    #expect(child.pass(.seconds(119), computing: 0.01) == .goesOn)
    #expect(child.pass(.seconds(2), computing: 0.01) == .waits(1))
  }

  /// The applier itself stood still for an hour, and its child with it.
  @Test func aSuspendedHostIsNoBatchsFault() {
    var child = Child()
    child.begin(0)
    #expect(child.pass(.seconds(100)) == .goesOn)
    child.look.now += .seconds(3600)
    #expect(child.pass(.seconds(18)) == .goesOn)
    #expect(child.pass(.seconds(3)) == .waits(0))
  }

  @Test func aCommit() {
    var child = Child()
    child.begin(0)
    child.begin(nil)
    // It gets on: of very many pages it says so now and then.
    #expect(child.pass(.seconds(25), computing: 1) == .goesOn)
    child.begin(nil)
    #expect(child.pass(.seconds(29), computing: 1) == .goesOn)
    #expect(child.pass(.seconds(1), computing: 1) == .commitUsedUp)
  }

  /// What was not begun is nobody's; nor is a commit at fault for what it waits.
  @Test(arguments: [false, true]) func aStandstill(inCommit: Bool) {
    var child = Child()
    if inCommit {
      child.begin(0)
      child.begin(nil)
    } else {
      #expect(child.pass(.seconds(100), computing: 1) == .goesOn)
    }
    #expect(child.pass(.seconds(599)) == .goesOn)
    #expect(child.pass(.seconds(1)) == .standsStill)
    child = Child(batchTime: .seconds(60))
    #expect(child.pass(.seconds(1199)) == .goesOn)
    #expect(child.pass(.seconds(1)) == .standsStill)
  }
}
