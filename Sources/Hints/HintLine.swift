package import SluiceShared

/// The end of hints of who writes, waits, follows or stands by: tells an applier of batches, and asks to be
/// told. One for a process and a store.
///
/// Where nothing is answered it says so (`isTrusted`), and whoever waits polls as without. After a fork a
/// child has a socket of its own, and no questions.
///
/// `ask` and `wait` are for one thread at a time, all else for any.
package final class HintLine: Sendable {
  fileprivate struct Question {
    let hint: Hint
    var sent: Duration
    /// How often it was sent since something was heard of it.
    var unheard = 1
    /// What was asked for has come, they say.
    var isAnswered = false

    /// When it is asked again. `isReliedOnHost`: an answer is most unlikely to be lost.
    func isDue(_ isReliedOnHost: Bool) -> Duration {
      guard unheard == 0 else {
        // A leader that a standby asks takes it to be heard (`HintDesk.isAskedByStandby`).
        let longest = hint.kind == .standby ? 7 : 5
        return sent + HintLine.patience * (1 << min(unheard - 1, longest))
      }
      let isRare = isReliedOnHost && hint.kind == .question
      return sent + (isRare ? Limits.hintQuestionRenewalOnHost : HintLine.renewal)
    }
  }

  fileprivate struct State {
    var endpoint: HintEndpoint?
    var seal: HintSeal?
    var socket: (any HintSocket)?
    var questions: [Question] = []
    /// Asked no more, since a look found what was asked for before an answer came (boot time); the oldest first.
    var outrun: [(nonce: UInt64, since: Duration)] = []
    /// An answer that came while it was asked, and that `wait` has not told yet.
    var untold: Hint?
    /// Questions in a row that were answered before something else told, or soon afterwards.
    var answered = 0
    /// When any answer came last (boot time).
    var lastAnswer: Duration?
    var counts = HintCounts()
    /// Before this nobody who was not asked is heard again saying that a term has ended (boot time): it costs a look.
    var nextRelease = Duration.zero
  }

  private let environment: Environment
  private let state = ProcessLocal<State> { State() }

  private static let patience = Duration.milliseconds(50)
  private static let renewal = Duration.seconds(1)
  fileprivate static let trustedAfter = 3
  /// Sendings in a row without any answer, after which nobody is taken to be there.
  private static let silentAfter = 3

  package init(_ environment: Environment) { self.environment = environment }

  // MARK: whom to ask

  /// What the newest beacon says; nil: nobody takes hints.
  package func aim(at endpoint: HintEndpoint?) {
    state.withLock { state in
      guard endpoint != state.endpoint else { return }
      state.endpoint = endpoint
      (state.questions, state.untold, state.answered, state.socket) = ([], nil, 0, nil)
      (state.outrun, state.lastAnswer, state.seal) = ([], nil, nil)
      guard let endpoint, endpoint.isReachable(on: environment.hints) else { return }
      let seal = HintSeal(endpoint.token)
      state.seal = seal
      // Where there can be no socket, everything polls.
      state.socket = try? environment.hints.open(at: endpoint.address.sender, for: seal.name)
    }
  }

  package var isAimed: Bool { state.withLock { $0.socket != nil } }

  /// As seen from here.
  package var counts: HintCounts { state.withLock { $0.counts } }

  // MARK: telling

  /// A batch is durable, and all before it of its writer.
  package func tell(written batch: BatchID) {
    state.withLock { $0.send(Hint(.written, batch: batch)) }
  }

  /// A write has found no room.
  package func tellFullDisk() { state.withLock { $0.send(Hint(.full)) } }

  // MARK: asking

  /// Asks these questions, those anew that are due, and gives up all others. False: there is nobody to ask.
  package func ask(_ hints: [Hint]) -> Bool {
    let now = environment.clock.elapsed()
    // What was answered meanwhile is not taken for unanswered.
    drain()
    return state.withLock { state in
      guard state.socket != nil else { return false }
      var questions: [Question] = []
      for hint in hints {
        guard var known = state.questions.first(where: { $0.hint.asksTheSame(as: hint) }) else {
          var hint = hint
          hint.nonce = environment.random()
          questions.append(Question(hint: hint, sent: now))
          state.send(hint)
          continue
        }
        if !known.isAnswered, now >= known.isDue(state.isReliedOnHost) {
          known.sent = now
          known.unheard += 1
          state.send(known.hint)
        }
        questions.append(known)
      }
      state.giveUp(besides: hints, at: now)
      state.questions = questions
      if !questions.contains(where: { $0.hint.nonce == state.untold?.nonce }) { state.untold = nil }
      return true
    }
  }

  /// Waits for an answer, at most `limit` and not longer than until a question is to be asked again; nil
  /// where none came, or after an `interrupt`.
  package func wait(atMost limit: Duration) -> Hint? {
    let now = environment.clock.elapsed()
    if let untold = state.withLock({ $0.untold.take() }) { return untold }
    let due = state.withLock { state in
      let isReliedOnHost = state.isReliedOnHost
      return state.questions.filter { !$0.isAnswered }.map { $0.isDue(isReliedOnHost) }.min()
    }
    return receive(atMost: min(limit, (due ?? now + limit) - now))
  }

  /// The last answer that has come; what answers nothing is passed over. Never waits.
  package func answer() -> Hint? {
    drain()
    return state.withLock { $0.untold.take() }
  }

  package func interrupt() {
    let socket = state.withLock { $0.socket }
    socket?.interrupt()
  }

  /// Whether an answer to each question of now can be relied on to come, as far as can be told: who waits need
  /// hardly look.
  package var isTrusted: Bool {
    state.withLock { state in
      state.answered >= Self.trustedAfter && !state.questions.isEmpty
        && state.questions.allSatisfy { !$0.isAnswered && $0.unheard < Self.silentAfter }
    }
  }

  /// Whether what was asked before was answered: who asks now is likely to be told.
  package var isRelied: Bool {
    state.withLock { $0.socket != nil && $0.answered >= Self.trustedAfter }
  }

  /// The same of who is on this host, where hardly a datagram is lost.
  package var isReliedOnHost: Bool { state.withLock { $0.isReliedOnHost } }

  /// Whether somebody answers what is asked now.
  package var isHeard: Bool {
    state.withLock { state in
      !state.questions.isEmpty && state.questions.allSatisfy { $0.unheard < Self.silentAfter }
    }
  }

  /// When whoever takes hints there last answered a question (boot time); nil: it never did.
  package func lastAnswer(from endpoint: HintEndpoint?) -> Duration? {
    state.withLock { $0.endpoint == endpoint ? $0.lastAnswer : nil }
  }

  private func receive(atMost limit: Duration) -> Hint? {
    guard let (socket, _, seal) = state.withLock({ $0.place }) else { return nil }
    guard let datagram = socket.receive(atMost: max(.zero, limit)) else {
      _ = socket.takeInterrupt()
      return nil
    }
    return take(datagram, seal)
  }

  private func drain() {
    guard let (socket, _, seal) = state.withLock({ $0.place }) else { return }
    for _ in 0..<Limits.hintsAtOnce {
      guard let datagram = socket.receive(atMost: .zero) else { return }
      guard let hint = take(datagram, seal), hint.kind != .heard else { continue }
      state.withLock { $0.untold = hint }
    }
  }

  private func take(_ datagram: HintDatagram, _ seal: HintSeal) -> Hint? {
    guard let hint = Hint(datagram.bytes, sealedWith: seal) else { return nil }
    let now = environment.clock.elapsed()
    return state.withLock { $0.take(hint, now) }
  }
}

extension Hint {
  fileprivate func asksTheSame(as other: Hint) -> Bool {
    kind == other.kind && batch == other.batch && txid == other.txid
  }
}

extension HintLine.State {
  fileprivate var isReliedOnHost: Bool {
    socket != nil && answered >= HintLine.trustedAfter && endpoint?.address.isLoopback == true
  }

  fileprivate var place: (any HintSocket, HintEndpoint, HintSeal)? {
    guard let socket, let endpoint, let seal else { return nil }
    return (socket, endpoint, seal)
  }

  fileprivate mutating func send(_ hint: Hint) {
    guard let (socket, endpoint, seal) = place else { return }
    counts.sent &+= 1
    socket.send(hint.sealed(with: seal), to: endpoint.address)
  }

  /// An answer, once; nil where nothing was asked that it answers.
  fileprivate mutating func take(_ hint: Hint, _ now: Duration) -> Hint? {
    // Who serves many stores tells those that serve the same ones, whether they have asked or not.
    if hint.nonce == 0, hint.kind == .released {
      guard now >= nextRelease else { return nil }
      nextRelease = now + Limits.hintedLookPause
      counts.received &+= 1
      return hint
    }
    guard hint.nonce != 0, !hint.kind.isQuestion else { return nil }
    if let place = outrun.firstIndex(where: { $0.nonce == hint.nonce }), hint.kind != .heard {
      outrun.remove(at: place)
      counts.received &+= 1
      (answered, lastAnswer) = (min(answered + 1, 1 << 16), now)
      return nil
    }
    guard
      let place = questions.firstIndex(where: { $0.hint.nonce == hint.nonce && !$0.isAnswered })
    else { return nil }
    counts.received &+= 1
    questions[place].unheard = 0
    lastAnswer = now
    guard hint.kind != .heard else { return hint }
    if hint.kind == .released {
      // Its process may lead again, and is to be asked anew then.
      questions.remove(at: place)
    } else {
      questions[place].isAnswered = true
    }
    counts.useful &+= 1
    answered = min(answered + 1, 1 << 16)
    return hint
  }

  /// What is asked no more although no answer came was told by something else. Who polls often is mostly told so, by
  /// moments; where no answer comes soon, hints are not to be relied on.
  fileprivate mutating func giveUp(besides hints: [Hint], at now: Duration) {
    for question in questions where !question.isAnswered {
      guard !hints.contains(where: { $0.asksTheSame(as: question.hint) }) else { continue }
      outrun.append((question.hint.nonce, now))
    }
    let late = outrun.prefix { now - $0.since > Limits.answerGrace }.count
    let surplus = outrun.count - Limits.hintQuestionsOfProcess
    if max(late, surplus) > 0 {
      answered = 0
      outrun.removeFirst(max(late, surplus))
    }
  }
}
