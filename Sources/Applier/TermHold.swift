internal import SluiceShared

/// Whether a term still holds the log, as far as was seen while a group is executed, where nothing can be thrown.
/// It only ever holds less.
enum TermHold {
  case whole
  /// A beat met `error`. The statement goes on until somebody has taken over: a commit that is made before that is
  /// carried over. `looked`: when the own mark was last looked at (boot time).
  case failing(StoreError, looked: Duration)
  /// And the own segment is closed: what is executed counts for nobody.
  case lost(StoreError)

  /// What a beat met.
  var failure: StoreError? {
    switch self {
    case .whole: nil
    case .failing(let error, _), .lost(let error): error
    }
  }

  var isLost: Bool { if case .lost = self { true } else { false } }

  /// Throws what a beat met.
  func check() throws(StoreError) { if let failure { throw failure } }

  /// A beat failed.
  mutating func fail(_ error: StoreError) {
    guard case .whole = self else { return }
    self = .failing(error, looked: .zero)
  }

  /// Whether the own mark is to be looked at now: behind a failed beat, `pause` after the last look.
  mutating func takeLook(at now: Duration, every pause: Duration) -> Bool {
    guard case .failing(let error, let looked) = self, now - looked >= pause else { return false }
    self = .failing(error, looked: now)
    return true
  }

  /// The own mark was found set.
  mutating func lose() {
    guard case .failing(let error, _) = self else { return }
    self = .lost(error)
  }
}
