internal import SluiceShared

/// Who asked an applier to be told something, and is to be answered when it is so. Bounded, in all and for
/// each socket and host; what is not asked again is forgotten.
struct HintQuestions {
  struct Question {
    let sender: HintAddress
    let hint: Hint
    fileprivate var until: Duration
  }

  private var ofWriters: [WriterID: [Question]] = [:]
  private var followers: [Question] = []
  private var standbys: [Question] = []
  private var counts: [HintAddress: Int] = [:]
  /// By `HintAddress.host`, since a host has as many sockets as it likes.
  private var hostCounts: [HintAddress: Int] = [:]
  private(set) var count = 0
  private var lastSweep = Duration.zero

  enum Addition {
    case new
    /// Asked once more: it stands for longer.
    case renewed
    /// There is no room for it.
    case refused
  }

  @discardableResult
  mutating func add(_ hint: Hint, from sender: HintAddress, at now: Duration) -> Addition {
    // It looks at all of them, and whoever has the token may ask as often as it likes.
    let isFull = count >= Limits.hintQuestions
    if now - lastSweep > (isFull ? Limits.hintQuestionsSweep : Limits.hintQuestionTime) {
      sweep(now)
    }
    let question = Question(sender: sender, hint: hint, until: now + Limits.hintQuestionTime)
    if renew(question) { return .renewed }
    guard count < Limits.hintQuestions,
      counts[sender, default: 0] < Limits.hintQuestionsOfOneSocket,
      hostCounts[sender.host, default: 0] < Limits.hintQuestionsOfOneHost
    else { return .refused }
    change(hint) { $0.append(question) }
    counts[sender, default: 0] += 1
    hostCounts[sender.host, default: 0] += 1
    count += 1
    return .new
  }

  private mutating func renew(_ question: Question) -> Bool {
    change(question.hint) { questions in
      let place = questions.firstIndex {
        $0.sender == question.sender && $0.hint.nonce == question.hint.nonce
      }
      guard let place else { return false }
      questions[place] = question
      return true
    }
  }

  private mutating func change<R>(_ hint: Hint, _ body: (inout [Question]) -> R) -> R {
    switch hint.kind {
    case .standby: return body(&standbys)
    case .follower: return body(&followers)
    default:
      var questions = ofWriters.removeValue(forKey: hint.batch.writer) ?? []
      defer { if !questions.isEmpty { ofWriters[hint.batch.writer] = questions } }
      return body(&questions)
    }
  }

  /// Takes out those who ask for this writer's batches up to `sequence`.
  mutating func take(_ writer: WriterID, upTo sequence: SequenceNumber) -> [Question] {
    guard var questions = ofWriters.removeValue(forKey: writer) else { return [] }
    let taken = questions.take { $0.hint.batch.sequence <= sequence }
    if !questions.isEmpty { ofWriters[writer] = questions }
    return discounted(taken)
  }

  /// Takes out those who follow and have seen less than `txid`.
  mutating func takeFollowers(before txid: TxID) -> [Question] {
    followers.isEmpty ? [] : discounted(followers.take { $0.hint.txid < txid })
  }

  mutating func takeStandbys() -> [Question] { discounted(standbys.take { _ in true }) }

  private mutating func discounted(_ taken: [Question]) -> [Question] {
    count -= taken.count
    for question in taken {
      Self.decrement(&counts, question.sender)
      Self.decrement(&hostCounts, question.sender.host)
    }
    return taken
  }

  private static func decrement(_ counts: inout [HintAddress: Int], _ address: HintAddress) {
    let left = counts[address, default: 0] - 1
    counts[address] = left > 0 ? left : nil
  }

  private mutating func sweep(_ now: Duration) {
    lastSweep = now
    var gone: [Question] = []
    for writer in Array(ofWriters.keys) {
      guard var questions = ofWriters.removeValue(forKey: writer) else { continue }
      gone += questions.take { $0.until < now }
      if !questions.isEmpty { ofWriters[writer] = questions }
    }
    gone += followers.take { $0.until < now }
    gone += standbys.take { $0.until < now }
    _ = discounted(gone)
  }
}

extension [HintQuestions.Question] {
  fileprivate mutating func take(_ isWanted: (Element) -> Bool) -> Self {
    let taken = filter(isWanted)
    removeAll(where: isWanted)
    return taken
  }
}
