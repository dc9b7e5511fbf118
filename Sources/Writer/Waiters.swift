internal import SluiceShared

/// Those who wait for an outcome or for room, by number in the order they came. Under the poller's lock.
///
/// Whoever takes a waiter out answers it, once.
struct Waiters {
  typealias Subject = OutcomePoller.Subject
  typealias Answer = OutcomePoller.Answer

  struct Answered {
    let waker: Waker<Answer>
    let answer: Answer
  }

  private struct Waiter {
    let subject: Subject
    let waker: Waker<Answer>
    let deadline_ns: UInt64
  }

  private var all: [Int: Waiter] = [:]
  /// Those of them that wait for room.
  private var forRoom: [Int] = []
  private var next = 1
  /// The earliest deadline of all waiters, or earlier.
  private(set) var deadline_ns = UInt64.max

  var isEmpty: Bool { all.isEmpty }
  func has(_ number: Int) -> Bool { all[number] != nil }

  /// The number of one who is about to wait.
  mutating func takeNumber() -> Int {
    defer { next += 1 }
    return next
  }

  mutating func add(
    _ number: Int, _ subject: Subject, _ waker: Waker<Answer>, until deadline_ns: UInt64
  ) {
    precondition(number < next && all[number] == nil, "a number is for one waiter")
    all[number] = Waiter(subject: subject, waker: waker, deadline_ns: deadline_ns)
    switch subject {
    case .outcome(let ticket): ticket.waiters.append(number)
    case .room: forRoom.append(number)
    }
    self.deadline_ns = min(self.deadline_ns, deadline_ns)
  }

  /// Takes a waiter out; nil where somebody has.
  mutating func remove(_ number: Int) -> Waker<Answer>? {
    guard let waiter = all.removeValue(forKey: number) else { return nil }
    switch waiter.subject {
    case .outcome(let ticket): ticket.waiters.removeAll { $0 == number }
    case .room: forRoom.removeAll { $0 == number }
    }
    return waiter.waker
  }

  /// Who looks next for all: the thread that waits longest, or, where only tasks wait, one made for it.
  var runner: Runner<Answer> {
    var first: (number: Int, mailbox: Mailbox<Answer>)?
    for (number, waiter) in all where number < first?.number ?? .max {
      if case .thread(let mailbox) = waiter.waker { first = (number, mailbox) }
    }
    if let first { return .thread(first.mailbox) }
    return all.isEmpty ? .nobody : .ownThread
  }

  // MARK: What a look found

  /// Takes out those who wait for one of the tickets, which have a result now.
  mutating func takeReady(_ settled: [Ticket]) -> [Answered] {
    var answers: [Answered] = []
    for ticket in settled {
      for number in ticket.waiters { take(number, .ready, into: &answers) }
    }
    return answers
  }

  /// Takes out those who wait for room where there is some now.
  mutating func takeRoomy() -> [Answered] {
    var answers: [Answered] = []
    for number in forRoom where all[number]?.subject.isReady == true {
      take(number, .ready, into: &answers)
    }
    return answers
  }

  mutating func takeAll(_ failure: StoreError) -> [Answered] {
    var answers: [Answered] = []
    for number in Array(all.keys) { take(number, .failed(failure), into: &answers) }
    return answers
  }

  mutating func takeLate(at now_ns: UInt64) -> [Answered] {
    guard now_ns >= deadline_ns else { return [] }
    var answers: [Answered] = []
    for number in all.filter({ $0.value.deadline_ns <= now_ns }).keys {
      take(number, .timedOut, into: &answers)
    }
    deadline_ns = all.values.reduce(.max) { min($0, $1.deadline_ns) }
    return answers
  }

  private mutating func take(_ number: Int, _ answer: Answer, into answers: inout [Answered]) {
    if let waker = remove(number) { answers.append(Answered(waker: waker, answer: answer)) }
  }
}
