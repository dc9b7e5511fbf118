import ArgumentParser
import SluiceFakes

/// Where processes must have died before a run may say that nothing was lost: before, after and,
/// where there is one, in the middle of each kind of operation on each kind of file.
enum Coverage {
  /// A run of so many rounds needs a death at every point; one of `someRounds` at one point of each
  /// role and action; a shorter one, such as one that repeats a failure, none.
  static let allRounds = 2000
  static let someRounds = 100

  private static let places: [(Role, CrashPoint.Action, [String])] = [
    (
      .applier, .create,
      ["log-temporary", "checkpoint-temporary", "sidecar-temporary", "quarantine-temporary"]
    ),
    (.applier, .resize, ["log-temporary", "log"]),
    (
      .applier, .write,
      [
        "log-temporary", "log-mark", "log-frame", "log-beacon", "journal-mark",
        "checkpoint-temporary", "sidecar-temporary",
      ]
    ),
    (
      .applier, .sync,
      [
        "log-temporary", "log-mark", "log-frame", "log-beacon", "journal-mark",
        "checkpoint-temporary", "sidecar-temporary",
      ]
    ),
    (.applier, .readMark, ["log", "journal"]),
    (.applier, .link, ["log", "checkpoint", "sidecar", "quarantine"]),
    (
      .applier, .unlink,
      [
        "journal", "journal-quarantine", "log-temporary", "checkpoint-temporary",
        "sidecar-temporary",
        "quarantine-temporary",
      ]
    ),
    (.applier, .syncDirectory, ["log/", "checkpoints/", "store/", "quarantine/"]),
    (.applier, .replaceSymbolicLink, ["current.sqlite"]),
    (.worker, .create, ["journal"]),
    (.worker, .resize, ["journal"]),
    (.worker, .write, ["journal-begin", "journal-frame"]),
    (.worker, .sync, ["journal-begin", "journal-frame"]),
    (.worker, .readMark, ["journal"]),
    (.worker, .syncDirectory, ["journal/"]),
    (.backup, .write, ["log-temporary", "log-frame", "log-beacon"]),
    (.backup, .sync, ["log-temporary", "log-frame", "log-beacon"]),
    (.backup, .link, ["log"]),
    (.backup, .syncDirectory, ["log/", "store/"]),
    (
      .creator, .makeDirectory,
      ["store/", "journal/", "quarantine/", "log/", "old/", "checkpoints/"]
    ),
    (.creator, .create, ["store.json", "sidecar", "log-temporary"]),
    (.creator, .resize, ["log-temporary"]),
    (.creator, .setPermissions, ["checkpoint-temporary"]),
    (.creator, .write, ["store.json", "sidecar", "log-temporary", "log-frame", "log-beacon"]),
    (
      .creator, .sync,
      ["store.json", "checkpoint-temporary", "sidecar", "log-temporary", "log-frame", "log-beacon"]
    ),
    (.creator, .readMark, ["log"]),
    (.creator, .link, ["checkpoint", "log"]),
    (.creator, .unlink, ["checkpoint-temporary", "log-temporary"]),
    (.creator, .syncDirectory, ["checkpoints/", "journal/", "log/", "store/"]),
    (.creator, .replaceSymbolicLink, ["current.sqlite"]),
  ]

  /// What is missing yet: in a short run any of the points will do, the first is named.
  static func missing(_ catalog: Catalog, rounds: Int) -> [Target] {
    guard rounds >= someRounds else { return [] }
    return places.flatMap { (role, action, kinds) -> [Target] in
      let points = kinds.flatMap { Self.points(action, $0) }
      let left = points.filter { catalog.deaths(of: role, at: $0) == 0 }
      let needed = rounds >= allRounds ? left : left.count == points.count ? [points[0]] : []
      return needed.map { Target(role, $0) }
    }
  }

  /// What power failures must have taken back, as `PowerFailure` counts it: blocks, names, lengths; and
  /// a point at which it is not synced.
  struct Loss {
    var what: String
    var target: Target
  }

  private static let losses = unsynced.map { Loss(what: $0.point.place, target: $0) } + lengths

  private static let lengths = [
    Loss(
      what: PowerFailure.size(of: "journal"),
      target: Target(.worker, CrashPoint(.after, .resize, "journal"))),
    Loss(
      what: PowerFailure.size(of: "log-temporary"),
      target: Target(.applier, CrashPoint(.after, .resize, "log-temporary"))),
    Loss(
      what: PowerFailure.size(of: "log"),
      target: Target(.applier, CrashPoint(.after, .resize, "log"))),
  ]

  private static let unsynced: [Target] =
    ["journal-begin", "journal-frame"].map { Target(.worker, CrashPoint(.after, .write, $0)) }
    + [
      "log-temporary", "log-mark", "log-frame", "log-beacon", "journal-mark",
      "checkpoint-temporary", "sidecar-temporary",
    ].map { Target(.applier, CrashPoint(.after, .write, $0)) }
    + [Target(.worker, CrashPoint(.before, .syncDirectory, "journal/"))]
    + ["log/", "checkpoints/", "store/", "quarantine/"].map {
      Target(.applier, CrashPoint(.before, .syncDirectory, $0))
    }

  /// At how many points appliers must have died that went on after a power failure.
  static let recoveryPoints = 10

  /// What was never lost in a full run.
  static func unlost(_ lost: [String: Int], rounds: Int) -> [Loss] {
    rounds >= allRounds ? losses.filter { lost[$0.what] == nil } : []
  }

  private static func points(_ action: CrashPoint.Action, _ place: String) -> [CrashPoint] {
    let hasMiddle = action == .write || action == .replaceSymbolicLink
    return (hasMiddle ? [.before, .mid, .after] : [.before, .after]).map {
      CrashPoint($0, action, place)
    }
  }
}

/// A role and a point, as `--at` names them: every round is about a death there.
struct Target: Hashable, Sendable, CustomStringConvertible, ExpressibleByArgument {
  var role: Role
  var point: CrashPoint

  var description: String { "\(role.rawValue):\(point)" }

  init(_ role: Role, _ point: CrashPoint) {
    self.role = role
    self.point = point
  }

  init?(argument: String) {
    let halves = argument.split(separator: ":", maxSplits: 1)
    guard halves.count == 2, let role = Role(rawValue: String(halves[0])), role != .reader,
      let point = CrashPoint(halves[1])
    else { return nil }
    self.init(role, point)
  }

  func plan(_ random: inout SeededRandom) -> CrashPlan {
    CrashPlan(.die, point, 1, tear: random.below(1 << 16))
  }
}
