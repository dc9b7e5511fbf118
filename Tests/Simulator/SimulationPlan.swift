import SluiceApplier
import SluiceFakes
import SluiceShared

/// What a run consists of; everything is drawn from its seed.
package struct SimulationPlan: Sendable {
  package let seed: UInt64
  /// File operations until the storm is over.
  var operations: Int
  /// Machines that mount the store over NFS; 0: all processes are on the file server itself.
  var machines: Int
  var appliers: Int
  var writers: Int
  var readers: Int
  /// Processes that follow the history.
  var followers: Int
  /// The lease is granted and refused at random instead of following the beacon.
  var hasFakeLease: Bool
  /// An item in a table of locks elects the applier.
  var hasTableLease: Bool
  var lease: Duration
  /// A journal segment silent for this long is retired.
  var silence: Duration
  var checkpointBytes: Int64
  var logSegmentBytes: Int64
  /// Bytes that a batch carries beside what it does, at most.
  var mostPadding: Int
  /// Writers' pauses between batches, at most.
  var mostPause: Duration
  /// A few batches end the process that executes them.
  var isPoisoned: Bool
  /// What executes batches ends by itself now and then, also in those.
  var workersEnd: Bool
  /// Journal segments hold a frame or two, so that they begin and end all the time.
  var hasShortSegments: Bool
  /// The file server often loses its power just when a checkpoint was published.
  var losesCheckpoints: Bool
  /// Somebody makes journal files that keep to nothing.
  var isIntruded: Bool
  /// There are no appliers: writers apply batches themselves while they wait.
  var assists: Bool
  /// Appliers take hints: of all machines, or of their own only.
  var takesHints: Bool
  var hintsStayOnHost: Bool
  /// Once all writers rest for many leases, and then, mostly, the leader dies.
  var rests: Bool
  /// Some writers' processes make interactive transactions.
  var transacts: Bool
  /// Most commits are large: in scratch files, and written in pieces.
  var hasLargeCommits: Bool
  /// How long what is waited for in the calm may take. Poison costs some leases, and whoever died between asking
  /// for a turn and its commit costs its time.
  var patience: Duration { .seconds(transacts ? 90 : 30) }
  /// Only so much of the past is kept; nil: all.
  var retention: RetentionSettings?

  package init(seed: UInt64) {
    self.seed = seed
    var random = SeededRandom(seed: seed ^ 0x5EED)
    operations = 600 + random.below(1300)
    machines = random.chance(0.2) ? 0 : 2 + random.below(2)
    appliers = 2 + random.below(2)
    writers = 1 + random.below(3)
    readers = 1 + random.below(2)
    hasFakeLease = random.chance(0.4)
    // Drawn apart, so that the other runs stay what they are.
    var other = SeededRandom(seed: seed ^ 0x7AB1E)
    hasTableLease = hasFakeLease && other.chance(0.3)
    lease = .milliseconds([300, 1000, 3000][random.below(3)])
    silence = .milliseconds([200, 1000, 5000][random.below(3)])
    checkpointBytes = [16 << 10, 64 << 10, 1 << 20][random.below(3)]
    logSegmentBytes = [128 << 10, 256 << 10, 1 << 20][random.below(3)]
    mostPadding = [0, 200, 6000][random.below(3)]
    mostPause = .milliseconds([5, 50, 500][random.below(3)])
    isPoisoned = random.chance(0.15)
    workersEnd = random.chance(0.3)
    hasShortSegments = random.chance(0.2)
    losesCheckpoints = random.chance(0.15)
    isIntruded = random.chance(0.2)
    assists = other.chance(0.12)
    takesHints = other.chance(0.7)
    hintsStayOnHost = other.chance(0.3)
    transacts = other.chance(0.35)
    hasLargeCommits = other.chance(0.3)
    followers = other.chance(0.4) ? 1 : 0
    rests =
      takesHints && !hintsStayOnHost && machines > 1 && !hasFakeLease && !assists
      && other.chance(0.5)
    if assists {
      appliers = 0
      // It ends appliers, and these writers are to live.
      isPoisoned = false
      transacts = false
    }
    operations += 400 * followers
    // One is some sixty of them.
    if transacts { operations += 2500 }
    if hasShortSegments {
      writers = 3
      mostPause = .milliseconds(5)
      operations += 1500
      lease = .seconds(3)
    }
    // Elsewhere names are durable as soon as they are answered.
    if losesCheckpoints, random.chance(0.5) { machines = 0 }
    guard random.chance(0.6) else { return }
    var retention = RetentionSettings()
    retention.keep = .milliseconds([100, 500, 5000][random.below(3)])
    retention.bytes = random.chance(0.2) ? 300 << 10 : nil
    retention.checkpoints = 2 + random.below(3)
    retention.readers = .milliseconds([200, 2000, 10_000][random.below(3)])
    retention.pause = .milliseconds([100, 1000][random.below(2)])
    retention.listing = .milliseconds([100, 3000][random.below(2)])
    self.retention = retention
    checkpointBytes = 16 << 10
  }

  var isNetwork: Bool { machines > 0 }
}
