internal import SluiceShared
internal import SluiceWriter

/// Where a connection's transaction on a store stands; all transitions are here.
///
///     unlocked ── pin ──▶ reading ── begin ──▶ writing ── accept ──▶ accepted
///        ▲                │  ▲  ▲                │  │                   │
///        │                │  │  └── downgrade ───┘  └─ undo ─▶ undone   │ downgrade
///        │                │  └─────── downgrade ──────────────────┘     ▼
///        └─── release ────┴──────────────────── release ───────── readingOwn
struct TransactionState {
  /// A turn that was granted on another state than the pinned one, kept until SQLite has pinned that.
  struct KeptTurn {
    let turn: Turn
    /// On the clock that `Clock.elapsed` has.
    let since: Duration
  }

  /// What a reading transaction has of a turn.
  enum Claim {
    case none
    /// The turn is for the next transaction: SQLite was told to begin again.
    case forNext(KeptTurn)
    /// The turn was kept for this transaction.
    case forThis(KeptTurn)
  }

  enum Stage {
    /// No lock.
    case unlocked(KeptTurn?)
    /// SHARED: every read is of the pinned state.
    case reading(Claim)
    /// RESERVED and above: what is written lies over the pinned state. Without a turn somebody else can commit
    /// first.
    case writing(Turn?)
    /// The store has the pages. Nothing may be written any more.
    case accepted(TxID)
    /// Refused, or nobody knows. SQLite writes back what was there before, which goes nowhere.
    case undone
    /// SHARED after a commit, while a cursor is open: pinned state and own pages, with which the store's differ
    /// by what the applier wrote in the same commit. So nothing can be based on it.
    case readingOwn
  }

  private(set) var stage = Stage.unlocked(nil)

  /// SHARED.
  mutating func pin() {
    guard case .unlocked(let kept) = stage else { return }
    stage = .reading(kept.map { .forThis($0) } ?? .none)
  }

  /// Keeps a turn for the transaction that SQLite begins after this one.
  mutating func keep(_ turn: Turn, since: Duration) {
    guard case .reading = stage else { preconditionFailure("a turn is kept while reading") }
    stage = .reading(.forNext(KeptTurn(turn: turn, since: since)))
  }

  /// Gives up what this transaction has of a turn, and returns it.
  mutating func giveUpClaim() -> Turn? {
    switch stage {
    case .unlocked(let kept?):
      stage = .unlocked(nil)
      return kept.turn
    case .reading(.forNext(let kept)), .reading(.forThis(let kept)):
      stage = .reading(.none)
      return kept.turn
    default: return nil
    }
  }

  /// RESERVED, on the pinned state.
  mutating func begin(_ turn: Turn?) {
    guard case .reading = stage else { preconditionFailure("who writes has read") }
    stage = .writing(turn)
  }

  mutating func accept(_ txid: TxID) {
    guard case .writing = stage else { preconditionFailure("only what is written is committed") }
    stage = .accepted(txid)
  }

  mutating func undo() {
    guard case .writing = stage else { preconditionFailure("only what is written is undone") }
    stage = .undone
  }

  /// Back to SHARED. Returns a turn that nothing was committed with.
  mutating func downgrade() -> Turn? {
    switch stage {
    case .writing(let turn):
      stage = .reading(.none)
      return turn
    case .undone: stage = .reading(.none)
    case .accepted: stage = .readingOwn
    case .unlocked, .reading, .readingOwn: break
    }
    return nil
  }

  /// Back to no lock. Returns a turn that is of no use any more.
  mutating func release() -> Turn? {
    switch stage {
    case .reading(.forNext(let kept)):
      stage = .unlocked(kept)
      return nil
    case .reading(.forThis(let kept)):
      stage = .unlocked(nil)
      return kept.turn
    case .writing(let turn):
      stage = .unlocked(nil)
      return turn
    case .unlocked: return nil
    case .reading(.none), .accepted, .undone, .readingOwn:
      stage = .unlocked(nil)
      return nil
    }
  }

  /// Whether pages lie over the pinned state that are this connection's to see.
  var isWriting: Bool {
    if case .writing = stage { true } else { false }
  }
}
