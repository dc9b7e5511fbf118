internal import SluiceShared

/// What requests are signed with.
package struct Credentials: Hashable, Sendable {
  package var keyID: String
  package var secret: String
  /// Of temporary ones.
  package var token: String?
  /// Unix milliseconds; nil: they do not expire, or nobody says when.
  package var expires_ms: Int64?

  package init(keyID: String, secret: String, token: String? = nil, expires_ms: Int64? = nil) {
    self.keyID = keyID
    self.secret = secret
    self.token = token
    self.expires_ms = expires_ms
  }
}

/// There are no credentials, or none any more.
package struct CredentialFailure: Error, Hashable, Sendable {
  /// Whoever gives them may answer later.
  package var isPassing: Bool
  /// What is wrong, and what to do.
  package var message: String

  init(isPassing: Bool = false, _ message: String) {
    self.isPassing = isPassing
    self.message = message
  }
}

/// Credentials, renewed 15 minutes before they expire, the old ones used while they last.
final class CredentialStore: Sendable {
  /// AWS has new ones that early.
  static let refresh_ms: Int64 = 15 * 60_000
  /// They must not run out on the way.
  static let margin_ms: Int64 = 10_000
  /// From the end of a fetch until the next begins, and of one that failed.
  static let pause = Duration.seconds(30)
  static let pauseAfterFailure = Duration.seconds(5)

  private struct State {
    var credentials: Credentials?
    var failure: CredentialFailure?
    var isFetching = false
    /// The server does not take them.
    var isRefused = false
    var nextFetch: Duration = .zero

    func lasts(at now_ms: Int64) -> Credentials? {
      guard let credentials, let expires_ms = credentials.expires_ms else { return credentials }
      return now_ms < expires_ms - CredentialStore.margin_ms ? credentials : nil
    }
  }

  private let source: CredentialSource
  private let client: any HTTPClient
  private let clock: any Clock
  private let executor: any Executor
  private let state = Monitor(State())

  init(
    _ source: CredentialSource, client: any HTTPClient, clock: any Clock, executor: any Executor
  ) {
    self.source = source
    self.client = client
    self.clock = clock
    self.executor = executor
  }

  /// Those to sign with now. New ones are fetched beside the caller, who waits for them only where there
  /// are none that last, and no longer than `limit`: a renewal of the lease has no time.
  func current(atMost limit: Duration) -> Result<Credentials, CredentialFailure> {
    let now_ms = clock.wallTime_ms()
    let now = clock.elapsed()
    let (known, begins) = state.withLock { state -> (Credentials?, Bool) in
      let known = state.lasts(at: now_ms)
      let isOld =
        state.isRefused
        || known.map { known in
          known.expires_ms.map { now_ms >= $0 - CredentialStore.refresh_ms } ?? false
        } ?? true
      guard isOld, !state.isFetching, now >= state.nextFetch else { return (known, false) }
      state.isFetching = true
      return (known, true)
    }
    if begins { executor.detach { [self] in fetch() } }
    if let known { return .success(known) }
    let answer = clock.wait(on: state, atMost: limit) { state in
      state.isFetching ? nil : (state.lasts(at: now_ms), state.failure)
    }
    if let found = answer?.0 { return .success(found) }
    return .failure(
      answer?.1
        ?? CredentialFailure(
          isPassing: true,
          "the credentials \(source.origin) are not there yet; see why that takes long"))
  }

  /// The server says that they are no good. They are used until there are others: so it is its words that
  /// are told.
  func refused(_ credentials: Credentials) {
    state.withLock { state in
      guard state.credentials == credentials, !state.isRefused else { return }
      state.isRefused = true
      state.nextFetch -= CredentialStore.pause - CredentialStore.pauseAfterFailure
    }
  }

  private func fetch() {
    let result = source.fetch(client)
    let now_ms = clock.wallTime_ms()
    let now = clock.elapsed()
    state.withLock { state in
      state.isFetching = false
      switch result {
      case .success(let fresh):
        let expires_ms = fresh.expires_ms ?? .max
        state.nextFetch = now + CredentialStore.pause
        state.failure = nil
        if expires_ms <= now_ms {
          state.nextFetch = now + CredentialStore.pauseAfterFailure
          state.failure = expired(expires_ms)
        } else if state.isRefused || state.lasts(at: now_ms) == nil
          || expires_ms >= state.credentials?.expires_ms ?? .max
        {
          state.isRefused = false
          state.credentials = fresh
        }
      case .failure(let failure):
        state.nextFetch = now + CredentialStore.pauseAfterFailure
        state.failure = failure
      }
    }
    state.wakeAll()
  }

  private func expired(_ time_ms: Int64) -> CredentialFailure {
    CredentialFailure(
      isPassing: true,
      "the credentials \(source.origin) expired at \(timestamp(time_ms)); see why that gives no new ones, and compare this host's clock"
    )
  }
}
