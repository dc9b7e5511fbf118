import SluiceJournal
import SluiceShared

/// A named place in a process's life at which it can be made to die or stop: before, in the middle
/// of, or after an operation on a kind of file, such as `before-sync:log-frame`.
struct CrashPoint: Hashable, Comparable, Sendable, CustomStringConvertible {
  enum Moment: String, Sendable { case before, mid, after }
  enum Action: String, Sendable {
    case create, write, sync, resize, link, unlink
    case syncDirectory, replaceSymbolicLink, makeDirectory, setPermissions
    /// Of a mark, by the one whom it may have closed: the second half of a handshake.
    case readMark
  }

  let moment: Moment
  let action: Action
  /// What kind of file, as `StorePlace` names them.
  let place: String

  var description: String { "\(moment.rawValue)-\(action.rawValue):\(place)" }

  static func < (a: Self, b: Self) -> Bool { a.description < b.description }

  init(_ moment: Moment, _ action: Action, _ place: String) {
    self.moment = moment
    self.action = action
    self.place = place
  }

  /// A torn journal segment's move to quarantine, step by step.
  static let movingToQuarantine = [
    Self(.before, .link, "quarantine"), Self(.after, .link, "quarantine"),
    Self(.before, .syncDirectory, "quarantine/"), Self(.after, .syncDirectory, "quarantine/"),
    Self(.before, .unlink, "journal-quarantine"), Self(.after, .unlink, "journal-quarantine"),
  ]

  /// Of one that finds the name in quarantine, where somebody died.
  static let movingAgain = [
    Self(.before, .create, "quarantine-temporary"), Self(.after, .create, "quarantine-temporary"),
    Self(.before, .unlink, "quarantine-temporary"), Self(.after, .unlink, "quarantine-temporary"),
  ]

  /// Whether a death here leaves content that no sync covers.
  var leavesUnsynced: Bool {
    switch (moment, action) {
    case (.mid, .write), (.after, .write), (.before, .sync): true
    default: false
    }
  }

  /// Reads what `description` writes.
  init?(_ text: some StringProtocol) {
    let halves = text.split(separator: ":", maxSplits: 1)
    let words = halves.first?.split(separator: "-", maxSplits: 1) ?? []
    guard halves.count == 2, words.count == 2, let moment = Moment(rawValue: String(words[0])),
      let action = Action(rawValue: String(words[1]))
    else { return nil }
    self.init(moment, action, String(halves[1]))
  }
}

/// What happens to a process at the n-th time that it comes to a point.
struct CrashPlan: Hashable, Sendable, CustomStringConvertible {
  enum Fate: String, Sendable {
    /// SIGKILL.
    case die
    /// SIGSTOP, until it is continued.
    case stop
  }

  var fate: Fate
  var point: CrashPoint
  var count: Int
  /// Where a write is cut in two.
  var tear: Int

  init(_ fate: Fate, _ point: CrashPoint, _ count: Int, tear: Int) {
    self.fate = fate
    self.point = point
    self.count = count
    self.tear = tear
  }

  var description: String { "\(fate.rawValue),\(point),\(count),\(tear)" }

  /// How much of a write lands first: blocks of 512 bytes are written whole, larger ones are not.
  func landedBytes(of count: Int) -> Int { tear % max(1, count / 512) * 512 }

  init?(_ text: String) {
    let words = text.split(separator: ",")
    guard words.count == 4, let fate = Fate(rawValue: String(words[0])),
      let point = CrashPoint(words[1]), let count = Int(words[2]), let tear = Int(words[3]),
      tear >= 0
    else { return nil }
    self.init(fate, point, count, tear: tear)
  }
}

/// What a path, and an offset in it, is to the store.
enum StorePlace {
  /// The kind of file: by its directory and name.
  static func kind(of path: String) -> String {
    let parts = path.split(separator: "/").suffix(2).map(String.init)
    let name = parts.last ?? ""
    if name.hasSuffix(".tmp") {
      if name.contains(".log.") { return "log-temporary" }
      if name.contains(".pages.") { return "sidecar-temporary" }
      if name.contains(".seg.") { return "quarantine-temporary" }
      return name.hasPrefix("current.sqlite") ? "current-temporary" : "checkpoint-temporary"
    }
    if name.hasSuffix(".seg") { return parts.first == "quarantine" ? "quarantine" : "journal" }
    if name.hasSuffix(".log") { return "log" }
    if name.hasSuffix(".pages") { return "sidecar" }
    if name == "store.json" || name == "current.sqlite" { return name }
    if name.hasSuffix(".sqlite") { return "checkpoint" }
    return ["journal", "quarantine", "log", "old", "checkpoints"].contains(name)
      ? "\(name)/" : "store/"
  }

  /// The part of a segment at an offset; nil where the file has no parts.
  static func part(of kind: String, at offset: Int64) -> String? {
    switch (kind, offset) {
    case ("journal", Block.mark), ("log", Block.mark): "mark"
    case ("journal", Block.header): "begin"
    case ("log", Block.beacons.0), ("log", Block.beacons.1): "beacon"
    case ("journal", _), ("log", _): "frame"
    default: nil
    }
  }
}
