import SluiceFakes

/// How a run's machines, network and file server behave: probabilities per file operation unless
/// said otherwise. All of it is drawn from the seed.
struct Weather {
  /// An operation takes ten to a hundred times as long as usual.
  var slow = 0.0
  /// The answer takes longer than the way there: others see what was done before who did it knows.
  var slowReply = 0.0
  /// An operation takes seconds.
  var stuck = 0.0
  /// The process dies: before it, after it, or in the middle.
  var death = 0.0
  /// The process stands still for up to twenty leases.
  var freeze = 0.0
  /// EIO, nothing done.
  var failure = 0.0
  /// ENOSPC, of all that may need room.
  var fullDisk = 0.0
  /// EIO of a write that may land later all the same, or of a sync.
  var lateWrite = 0.0
  /// Bytes of a write that land together.
  var pieceBytes = 4096
  /// A read is made in two halves.
  var tornRead = 0.0
  /// A listing is made in two halves: of the names that come or go meanwhile it shows some.
  var tornListing = 0.0
  /// It is done, and answered with an error as a repeated request gets it.
  var lostReply = 0.0
  /// Per operation of anybody: a block on its way lands (or, where nobody waits for it, is lost).
  var drift = 0.0
  /// Events a second: somebody is killed, a machine stops, the server restarts, a clock jumps.
  var events = 0.0

  /// For what takes many operations one after another, and is never through where each of them may be the last.
  var soothed: Weather {
    var weather = self
    for trouble in [\Weather.slow, \.slowReply, \.stuck, \.death, \.freeze, \.failure, \.events] {
      weather[keyPath: trouble] /= 5
    }
    return weather
  }

  static func drawn(_ random: inout SeededRandom) -> Weather {
    // Each trouble is absent, seldom or frequent, independently of the others: what hides behind
    // one kind of trouble may need another kind to be away.
    func level(_ low: Double, _ high: Double, _ random: inout SeededRandom) -> Double {
      [0, low, high][random.below(3)]
    }
    var weather = Weather()
    weather.slow = level(0.02, 0.2, &random)
    weather.slowReply = level(0.02, 0.2, &random)
    weather.stuck = level(0.001, 0.01, &random)
    weather.death = level(0.001, 0.008, &random)
    weather.freeze = level(0.001, 0.008, &random)
    weather.failure = level(0.0005, 0.004, &random)
    weather.fullDisk = level(0.0005, 0.01, &random)
    weather.lateWrite = level(0.002, 0.02, &random)
    weather.pieceBytes = [512, 4096, 4096][random.below(3)]
    weather.tornRead = level(0.05, 0.3, &random)
    weather.tornListing = level(0.02, 0.2, &random)
    weather.lostReply = level(0.01, 0.1, &random)
    weather.drift = [0.02, 0.2][random.below(2)]
    weather.events = level(0.1, 1, &random)
    return weather
  }
}
