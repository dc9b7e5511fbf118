internal import SluiceJournal
internal import SluiceShared

/// Which writer id a process's batches go under: the states, and all that leads from one to another.
///
/// ```
///          take          a day passes
///   none ────────▶ fresh ────────────▶ old      Batches go under the id. When all before is applied, an
///    ▲               │ ▲                │       old one is renewed, since rows of silent writers go.
///    │         doubt │ │ settle         │
///    │               ▼ │                │
///    │            in doubt ◀────────────┘       A write may have landed: those batches go again, first.
///    │
///    └── renew ── fresh, old                    Nothing is in doubt.
///
///   fresh, old, in doubt ── forget ──▶ forgotten ── take ──▶ fresh
/// ```
///
/// Any state is left by `take` in a forked child, and `in doubt` also when the doubt is too old to be
/// settled and nothing waits.
struct WriterIdentity {
  enum State {
    /// No id yet, or none any more: the next batch takes one.
    case none
    /// Made within `Limits.writerAge`.
    case fresh(OwnJournal)
    /// Made before that.
    case old(OwnJournal)
    /// A write of the group began and was never acknowledged. Its sequence numbers may be in the journal,
    /// so they may carry no other content, and those behind it may not come first: the group is written
    /// again, alone, before anything else. It is the last that was named: `group.end == next`.
    case inDoubt(OwnJournal, BatchGroup)
    /// The id was given up before anything of the flush at hand was written, and nothing waits under it:
    /// the applier may not know it any more, or the process is another user's now.
    case forgotten
  }

  private(set) var state = State.none
  /// The latest date that the file server gave a segment. No id taken later is dated before it.
  private var latest_ms = Int64.min

  /// The journal of the present id; nil where there is none.
  var journal: OwnJournal? {
    switch state {
    case .none, .forgotten: nil
    case .fresh(let journal), .old(let journal), .inDoubt(let journal, _): journal
    }
  }

  /// The same, of an id that this process took.
  func journal(of process: Int32) -> OwnJournal? {
    journal.flatMap { $0.process == process ? $0 : nil }
  }

  /// What is to be written again before anything else.
  var doubtful: BatchGroup? {
    if case .inDoubt(_, let group) = state { group } else { nil }
  }

  var isForgotten: Bool {
    if case .forgotten = state { true } else { false }
  }

  // MARK: Transitions

  /// A new id, dated now. What an earlier one left stays to the applier: its acknowledged batches are
  /// executed, its segments retired. What was in doubt under it is not written again.
  mutating func take(_ environment: Environment) -> OwnJournal {
    let made = Moment(environment.clock)
    // A clock that is behind is known to be after the last segment.
    let journal = OwnJournal(date_ms: max(made.wall_ms, latest_ms), made: made, environment)
    state = .fresh(journal)
    return journal
  }

  /// Lets an id grow old; true where it is.
  mutating func isOld(at clock: any Clock) -> Bool {
    if case .fresh(let journal) = state { state = Self.settled(journal, clock) }
    if case .old = state { return true }
    return false
  }

  /// Lets an id go of which nothing is in doubt.
  mutating func renew() {
    precondition(doubtful == nil, "what is in doubt goes again under its own name")
    state = .none
  }

  /// Gives the id up; only where nothing waits under it.
  mutating func forget() {
    precondition(journal != nil, "no id is forgotten twice")
    state = .forgotten
  }

  /// `group`, the newest, may have landed.
  mutating func doubt(_ group: BatchGroup) {
    precondition(group.mayHaveLanded, "what was never written is not in doubt")
    switch state {
    case .fresh(var journal), .old(var journal):
      journal.pass(group)
      state = .inDoubt(journal, group)
    case .forgotten: break
    case .none, .inDoubt: preconditionFailure("one group at a time is in doubt")
    }
  }

  /// What was in doubt is acknowledged.
  mutating func settle(at clock: any Clock) {
    guard case .inDoubt(let journal, let group) = state else {
      preconditionFailure("nothing is in doubt")
    }
    precondition(journal.next == group.end, "nothing is named behind what is in doubt")
    state = Self.settled(journal, clock)
  }

  /// The newest group is acknowledged, and none was in doubt.
  mutating func pass(_ group: BatchGroup) {
    precondition(doubtful == nil, "nothing new is written before what is in doubt")
    change { $0.pass(group) }
  }

  private static func settled(_ journal: OwnJournal, _ clock: any Clock) -> State {
    journal.made.age(clock) > Limits.writerAge ? .old(journal) : .fresh(journal)
  }

  // MARK: What happens under an id

  /// The file server dated a new segment.
  mutating func see(_ date_ms: Int64) { latest_ms = max(latest_ms, date_ms) }

  /// Changes the present id's journal; nothing where there is none.
  mutating func change(_ body: (inout OwnJournal) -> Void) {
    switch state {
    case .none, .forgotten: break
    case .fresh(var journal):
      body(&journal)
      state = .fresh(journal)
    case .old(var journal):
      body(&journal)
      state = .old(journal)
    case .inDoubt(var journal, let group):
      body(&journal)
      state = .inDoubt(journal, group)
    }
  }
}

/// Why a flush failed, by what follows for its batches.
enum FlushFailure: Error {
  /// No write of them began.
  case notWritten(StoreError)
  /// Nor here, and their writer id was forgotten: they may go under the next one, in order.
  case forgotten(StoreError)
  /// A write of them may have landed. They go again, under the same names, before the next flush.
  case inDoubt(StoreError)

  var error: StoreError {
    switch self {
    case .notWritten(let error), .forgotten(let error), .inDoubt(let error): error
    }
  }
}
