/// What the applier has done to the mark of a journal segment. It goes one way only.
enum SegmentMark {
  case untouched
  /// It tried to set it: a mark that can be read now need not be durable.
  case inDoubt
  /// It closed the segment. `remainsSince`: when something behind the last whole frame was first seen (boot time).
  case set(remainsSince: Duration?)

  var isSet: Bool { if case .set = self { true } else { false } }
  var isInDoubt: Bool { if case .inDoubt = self { true } else { false } }

  /// It is about to be written.
  mutating func begin() {
    precondition(!isSet, "a mark that is set is not written again")
    self = .inDoubt
  }

  /// It is durable.
  mutating func finish() {
    precondition(!isSet, "a segment is closed once")
    self = .set(remainsSince: nil)
  }

  /// Something lies behind the last whole frame. Returns for how long, as far as was seen.
  mutating func seesRemains(at now: Duration) -> Duration {
    guard case .set(let since) = self else {
      preconditionFailure("what remains is looked for behind the mark")
    }
    self = .set(remainsSince: since ?? now)
    return now - (since ?? now)
  }
}
