package import SluiceShared

/// What an applier sent and got of hints since it began, for `status`.
package struct HintCounts: Hashable, Sendable {
  /// That were sealed with its token; all others are not counted.
  package var received: UInt64 = 0
  /// Looks for their sake that found something.
  package var useful: UInt64 = 0
  package var sent: UInt64 = 0

  package init() {}
}

/// An applier's end of hints: takes those of writers, and answers those who wait.
///
/// It says when to look into the journal, and nothing else: what is there, the journal says. So
/// whoever forges hints costs looks, and no more of those than polling does.
///
/// The loop's, but for `interrupt`.
package final class HintDesk {
  package let endpoint: HintEndpoint
  package private(set) var counts = HintCounts()
  private let socket: any HintSocket
  private let clock: any Clock
  private var proof = HintProof()
  private var questions = HintQuestions()
  private var questionBudget = QuestionBudget()
  private let seal: HintSeal

  /// What is known of one writer's batches: the highest numbers that were hinted at, read and published.
  private struct Known {
    var hinted = SequenceNumber(0)
    var read = SequenceNumber(0)
    var published = SequenceNumber(0)

    /// A number far ahead is a forgery, and would stand for the hints of all batches to come.
    var isHintSound: Bool {
      hinted.rawValue <= read.rawValue.addingReportingOverflow(Limits.hintedAhead).partialValue
    }
  }

  /// Forgotten as a whole where there are too many: who asks for a batch is told later then, by its own look.
  private var writers: [WriterID: Known] = [:]
  /// What was executed and is not published yet.
  private var unpublished: [(batch: BatchID, txid: TxID)] = []
  private var txid = TxID.zero
  /// News whose hint is awaited, the oldest first.
  private var unhinted: [(batch: BatchID, found: Duration)] = []
  /// Nobody can have hinted at what was there before.
  private var isJudging = false
  /// Writers at whose batches hints came that are not read.
  private var wanted: Set<WriterID> = []
  private var lastVainLook = Duration.zero
  /// Somebody found no room, and nobody was told of it yet.
  private var isRoomWanted = false
  /// Before this nobody is heard again saying so (boot time): who repeats it wakes nobody more often.
  private var nextRoomHint = Duration.zero
  /// When a standby last asked, and was answered (boot time).
  private var lastStandby: Duration?
  /// Told of each batch that a hint says is durable.
  package var onHint: ((BatchID) -> Void)?

  /// Throws `.io` where there can be no socket at `address`.
  package init(at address: HintAddress, _ environment: Environment) throws(StoreError) {
    let token = Identifier128(high: environment.random(), low: environment.random())
    seal = HintSeal(token)
    socket = try environment.hints.open(at: address, for: seal.name)
    clock = environment.clock
    endpoint = HintEndpoint(
      address: socket.address, token: token,
      loopback: address.isLoopback ? environment.hints.loopback : 0)
  }

  // MARK: a term

  /// A term begins, in which `txid` is published.
  package func begin(_ txid: TxID) {
    self.txid = txid
    (proof, questions, writers) = (HintProof(), HintQuestions(), [:])
    (unpublished, unhinted, wanted, isJudging) = ([], [], [], false)
    (lastStandby, isRoomWanted) = (nil, false)
  }

  /// It has ended in order.
  package func released() {
    for question in questions.takeStandbys() { answer(.released, question.hint, question.sender) }
  }

  /// Whether a standby asks again and again, which it does as long as it hears the answers. Never where only this host's
  /// processes reach it: those of others, who take over when the host dies, hear nothing.
  package func isAskedByStandby(at now: Duration) -> Bool {
    guard !endpoint.address.isLoopback, let lastStandby else { return false }
    return now - lastStandby < Limits.standbyAsksWithin
  }

  // MARK: waiting

  /// Ends the wait under way, or the next one; from any thread.
  package var interrupt: @Sendable () -> Void { { [socket] in socket.interrupt() } }

  /// Whether there was an `interrupt` since this was last asked.
  package func takeInterrupt() -> Bool { socket.takeInterrupt() }

  /// When a look that a hint wants may be made (boot time); nil: none is wanted.
  package var nextWantedLook: Duration? {
    wanted.isEmpty ? nil : lastVainLook + Limits.hintedLookPause
  }

  /// Waits until a hint wants a look, at most `limit`, or until a signal comes. True where it was interrupted.
  package func wait(atMost limit: Duration) -> Bool {
    let deadline = clock.elapsed() + limit
    while true {
      let hasCome = take(atMost: deadline - clock.elapsed())
      if socket.takeInterrupt() { return true }
      let now = clock.elapsed()
      guard now < deadline, !isLookWanted(at: now), !isRoomWanted, hasCome || !wanted.isEmpty else {
        return false
      }
    }
  }

  /// Takes in what has come, and waits for the first for at most `limit`. False where nothing came.
  @discardableResult
  package func take(atMost limit: Duration = .zero) -> Bool {
    var rest = limit
    if !wanted.isEmpty {
      rest = min(rest, lastVainLook + Limits.hintedLookPause - clock.elapsed())
    }
    var hasCome = false
    for _ in 0..<Limits.hintsAtOnce {
      guard let datagram = socket.receive(atMost: rest) else { break }
      (rest, hasCome) = (.zero, true)
      receive(datagram)
    }
    judge()
    return hasCome
  }

  private func receive(_ datagram: HintDatagram) {
    guard let hint = Hint(datagram.bytes, sealedWith: seal) else { return }
    counts.received &+= 1
    // Who asks more than that is not answered, and polls: it costs no more than the sum over its datagrams.
    if hint.kind.isQuestion, !questionBudget.hears(datagram.sender, at: clock.elapsed()) {
      if hint.kind == .question { note(hint.batch) }
      return
    }
    switch hint.kind {
    case .written: note(hint.batch)
    case .question:
      note(hint.batch)
      if writers[hint.batch.writer]?.published ?? SequenceNumber(0) >= hint.batch.sequence {
        answer(.published, hint, datagram.sender)
      } else {
        hear(hint, datagram.sender)
      }
    case .follower:
      if hint.txid < txid {
        answer(.published, hint, datagram.sender)
      } else {
        hear(hint, datagram.sender)
      }
    case .standby: hear(hint, datagram.sender)
    case .full:
      let now = clock.elapsed()
      if now >= nextRoomHint { (isRoomWanted, nextRoomHint) = (true, now + Limits.roomPause) }
    case .heard, .published, .released: break
    }
  }

  private func hear(_ hint: Hint, _ sender: HintAddress) {
    switch questions.add(hint, from: sender, at: clock.elapsed()) {
    // Who finds no room gets no answer, and polls.
    case .refused: return
    // Mostly it is published before it would be asked for again, which is an answer, too: one datagram less to
    // send, and one process less to wake for nothing.
    case .new where hint.kind == .question: return
    case .new, .renewed:
      if hint.kind == .standby { lastStandby = clock.elapsed() }
      answer(.heard, hint, sender)
    }
  }

  /// No larger than the question.
  private func answer(_ kind: Hint.Kind, _ question: Hint, _ sender: HintAddress) {
    counts.sent &+= 1
    let hint = Hint(kind, nonce: question.nonce, batch: question.batch, txid: txid)
    socket.send(hint.sealed(with: seal), to: sender)
  }

  // MARK: looking

  /// Whether polls may be slow.
  package var isProven: Bool { proof.isProven }

  /// From now on news must come with hints.
  package func beginJudging() { isJudging = true }

  private func change(_ writer: WriterID, _ body: (inout Known) -> Void) {
    if writers[writer] == nil, writers.count >= Limits.hintWriters { writers = [:] }
    body(&writers[writer, default: Known()])
  }

  private func note(_ batch: BatchID) {
    onHint?(batch)
    change(batch.writer) { known in
      let before = known.hinted
      known.hinted = max(known.hinted, batch.sequence)
      if known.read.rawValue > 0, !known.isHintSound { known.hinted = before }
      // A hint beyond these is dropped: the next ordinary look finds its writer.
      if batch.sequence > known.read, wanted.count < Limits.hintWriters {
        wanted.insert(batch.writer)
      }
    }
    let now = clock.elapsed()
    let before = unhinted.count
    unhinted.removeAll { $0.batch.writer == batch.writer && $0.batch.sequence <= batch.sequence }
    for _ in unhinted.count..<before { proof.cameWithHint(at: now) }
  }

  /// Whether a hint wants a look now.
  package func isLookWanted(at now: Duration) -> Bool {
    !wanted.isEmpty && now >= lastVainLook + Limits.hintedLookPause
  }

  /// Whether somebody found no room since this was last asked.
  package func takeRoomWanted() -> Bool {
    defer { isRoomWanted = false }
    return isRoomWanted
  }

  /// Whose files hints were about: a look is about to be made.
  package func takeWanted() -> Set<WriterID> {
    defer { wanted = [] }
    return wanted
  }

  /// Whose files hints were about that were not looked at yet.
  package var wantedWriters: Set<WriterID> { wanted }

  /// A look at files of these writers is under way.
  package func looks(at writers: Set<WriterID>) { wanted.subtract(writers) }

  /// It has ended, and not all that hints said was read of some: these are to be looked at again.
  package func wantAgain(_ looked: Set<WriterID>) {
    wanted.formUnion(looked.filter { !hasRead([$0]) })
  }

  /// All that hints said of these writers was read.
  package func hasRead(_ hinted: Set<WriterID>) -> Bool {
    hinted.allSatisfy { writer in writers[writer].map { $0.read >= $0.hinted } ?? true }
  }

  /// A look was made, for the sake of a hint where `isHinted`.
  package func looked(isHinted: Bool, finds: Bool) {
    guard isHinted else { return }
    if finds { counts.useful &+= 1 } else { lastVainLook = clock.elapsed() }
  }

  /// A look found a writer's batches up to this one.
  package func found(_ batch: BatchID) {
    change(batch.writer) { known in
      known.read = max(known.read, batch.sequence)
      if !known.isHintSound { known.hinted = known.read }
    }
    // A hint that came while it was read wants nothing more.
    if hasRead([batch.writer]) { wanted.remove(batch.writer) }
    guard isJudging else { return }
    if writers[batch.writer]?.hinted ?? SequenceNumber(0) >= batch.sequence {
      proof.cameWithHint(at: clock.elapsed())
    } else if unhinted.count < Limits.hintsAtOnce {
      unhinted.append((batch, clock.elapsed()))
    } else {
      proof.cameWithout(at: clock.elapsed())
    }
  }

  private func judge() {
    let now = clock.elapsed()
    while let first = unhinted.first, now - first.found > Limits.hintGrace {
      unhinted.removeFirst()
      proof.cameWithout(at: now)
    }
  }

  /// How long it may be until the next look without a hint, when nothing has come for `quiet`.
  package func pause(after quiet: Duration) -> Duration {
    min(Limits.longestHintedPause, max(Limits.shortestHintedPause, quiet / 8))
  }

  // MARK: publishing

  /// A batch was executed, in a commit that ends with `txid`.
  package func executed(_ batch: BatchID, in txid: TxID) { unpublished.append((batch, txid)) }

  /// Everything up to `txid` is published.
  package func published(_ txid: TxID) {
    guard txid > self.txid else { return }
    self.txid = txid
    let count = unpublished.prefix { $0.txid <= txid }.count
    for (batch, _) in unpublished.prefix(count) {
      change(batch.writer) { $0.published = max($0.published, batch.sequence) }
      for question in questions.take(batch.writer, upTo: batch.sequence) {
        answer(.published, question.hint, question.sender)
      }
    }
    unpublished.removeFirst(count)
    for question in questions.takeFollowers(before: txid) {
      answer(.published, question.hint, question.sender)
    }
  }
}
