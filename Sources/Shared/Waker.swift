/// Who is to be told an answer: a task that is suspended, or a thread that is blocked.
public enum Waker<Answer: Sendable>: Sendable {
  /// Answered exactly once: whoever answers has taken it out of a queue under a lock.
  case task(UnsafeContinuation<Answer, Never>)
  case thread(Mailbox<Answer>)

  package func answer(_ answer: Answer) {
    switch self {
    case .task(let continuation): continuation.resume(returning: answer)
    case .thread(let mailbox): mailbox.put(answer)
    }
  }
}

/// Where one blocked thread gets its answers, one after the other.
public final class Mailbox<Answer: Sendable>: Sendable {
  private let answers = Monitor<[Answer]>([])

  package init() {}

  package func put(_ answer: Answer) {
    answers.withLock { $0.append(answer) }
    answers.wakeOne()
  }

  /// Waits through the clock, as everything here does.
  package func take(_ clock: any Clock) -> Answer {
    while true {
      let answer = clock.wait(on: answers, atMost: .seconds(60)) {
        $0.isEmpty ? nil : $0.removeFirst()
      }
      if let answer { return answer }
    }
  }
}
