internal import SluiceShared

/// How many requests are sent to a service that does not answer: few, which find out when it does again.
///
/// A request without an answer holds a thread for its whole time, and where no name server answers a thread of
/// libcurl's for longer than that. Of hundreds of stores each tries again within a second.
final class SilenceGate: Sendable {
  private struct State {
    /// Without an answer, since the last one that had one.
    var unanswered = 0
    var sent = 0
  }

  /// So many without an answer are no chance.
  private static let patience = 8
  /// At once, while it is silent.
  static let probes = 4
  private let state = Monitor(State())

  /// `send`, unless enough others wait for an answer already: nil.
  func pass(
    _ send: () -> Result<HTTPResponse, HTTPFailure>
  ) -> Result<HTTPResponse, HTTPFailure>? {
    guard enter() else { return nil }
    let result = send()
    leave(result)
    return result
  }

  /// Whether one may be sent; `leave` is called with what became of it then.
  func enter() -> Bool {
    state.withLock { state in
      guard state.unanswered < SilenceGate.patience || state.sent < SilenceGate.probes else {
        return false
      }
      state.sent += 1
      return true
    }
  }

  func leave(_ result: Result<HTTPResponse, HTTPFailure>) {
    state.withLock { state in
      state.sent -= 1
      // Of what was not sent nobody knows.
      if case .failure(let failure) = result, failure.kind == .notSent { return }
      state.unanswered = SilenceGate.isAnswer(result) ? 0 : state.unanswered + 1
    }
  }

  private static func isAnswer(_ result: Result<HTTPResponse, HTTPFailure>) -> Bool {
    switch result {
    case .success: true
    case .failure(let failure):
      switch failure.kind {
      case .timedOut, .noHost, .noConnection: false
      case .certificate, .broken, .noLibrary, .notSent: true
      }
    }
  }
}
