internal import SluiceShared

/// How many questions are heard: of one socket, of one host and of all, in a second. A question has two answers at
/// most, so whoever knows the token and asks again and again gets no more of those either.
///
/// Each question takes its part of a second, and nobody may be ahead of the clock by more than `burst`. What is
/// remembered is how far ahead each is: of who asks seldom, nothing.
struct QuestionBudget {
  /// How many more than in time may come at once: those of this long.
  private static let burst = Duration.seconds(1)

  /// Sockets, and hosts by `HintAddress.host`: no socket has port 0.
  private var ahead: [HintAddress: Duration] = [:]
  private var allAhead = Duration.zero
  private var lastSweep = Duration.zero

  /// Whether one of this sender's is heard now.
  mutating func hears(_ sender: HintAddress, at now: Duration) -> Bool {
    var counted: [(who: HintAddress, until: Duration)] = []
    for (who, most) in [
      (sender, Limits.hintQuestionsOfOneSocketInSecond),
      (sender.host, Limits.hintQuestionsOfOneHostInSecond),
    ] {
      guard let until = next(ahead[who, default: .zero], most, now) else { return false }
      counted.append((who, until))
    }
    guard let until = next(allAhead, Limits.hintQuestionsInSecond, now) else { return false }
    allAhead = until
    for (who, until) in counted where ahead[who] != nil || hasRoom(now) { ahead[who] = until }
    return true
  }

  private func next(_ until: Duration, _ most: Int, _ now: Duration) -> Duration? {
    let next = max(until, now) + .seconds(1) / most
    return next - now <= Self.burst ? next : nil
  }

  /// A sender may write any address into its datagrams. Who finds no room is counted among all only.
  private mutating func hasRoom(_ now: Duration) -> Bool {
    if ahead.count >= Limits.hintSendersCounted, now - lastSweep >= Limits.hintQuestionsSweep {
      lastSweep = now
      ahead = ahead.filter { $0.value > now }
    }
    return ahead.count < Limits.hintSendersCounted
  }

  /// For tests.
  var sendersCounted: Int { ahead.count }
}
