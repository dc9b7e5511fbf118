internal import SluiceJournal
internal import SluiceShared

/// Whose turn it is: users one after the other, and of each user its writers one after the other.
struct TurnRounds {
  private var users = Rotation<UInt32>()
  /// Of each user in `users`, and of nobody else; none is empty. A writer is here once.
  private var writers: [UInt32: Rotation<WriterID>] = [:]

  var first: WriterID? { users.first.flatMap { writers[$0]?.first } }

  /// All writers, those of one user together.
  var all: [WriterID] { users.all.flatMap { writers[$0]?.all ?? [] } }

  /// A writer that was not here, behind all others.
  mutating func append(_ writer: WriterID, of user: UInt32) {
    if writers[user] == nil {
      writers[user] = Rotation()
      users.append(user)
    }
    writers[user]?.append(writer)
  }

  /// The first writer's turn is over. `isDone`: it leaves.
  mutating func endTurn(isDone: Bool) {
    guard let user = users.removeFirst(), let writer = writers[user]?.removeFirst() else { return }
    if !isDone { writers[user]?.append(writer) }
    if writers[user]?.first != nil { users.append(user) } else { writers[user] = nil }
  }

  /// These come first, in this order; they may be here.
  mutating func putFirst(_ order: [(writer: WriterID, user: UInt32)]) {
    remove(Set(order.map(\.writer)))
    var front: [UInt32: [WriterID]] = [:]
    var frontUsers: [UInt32] = []
    for (writer, user) in order {
      if front[user] == nil { frontUsers.append(user) }
      front[user, default: []].append(writer)
    }
    for (user, before) in front {
      writers[user] = Rotation(before + (writers[user]?.all ?? []))
    }
    users = Rotation(frontUsers + users.all.filter { front[$0] == nil })
  }

  /// The user comes first of whom `debt` is least, where the first has any.
  mutating func putFirst(userWithLeast debt: (UInt32) -> Duration) { users.putFirst(debt) }

  /// The writer of the first user comes first of whom `debt` is least, where that one's first has any.
  mutating func putFirst(writerWithLeast debt: (WriterID) -> Duration) {
    guard let user = users.first else { return }
    writers[user]?.putFirst(debt)
  }

  mutating func remove(_ gone: Set<WriterID>) {
    for user in Array(writers.keys) {
      writers[user]?.remove(gone)
      if writers[user]?.first == nil { writers[user] = nil }
    }
    let left = writers
    users.remove { left[$0] == nil }
  }
}

extension TurnRounds {
  /// In the order of their turns.
  private struct Rotation<Element: Hashable> {
    private var elements: [Element] = []
    private var passed = 0

    init(_ elements: [Element] = []) { self.elements = elements }

    var first: Element? { passed < elements.count ? elements[passed] : nil }
    var all: ArraySlice<Element> { elements[passed...] }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func removeFirst() -> Element? {
      guard let first else { return nil }
      passed += 1
      if passed * 2 >= elements.count {
        elements.removeFirst(passed)
        passed = 0
      }
      return first
    }

    mutating func remove(_ isGone: (Element) -> Bool) {
      elements = all.filter { !isGone($0) }
      passed = 0
    }

    mutating func remove(_ gone: Set<Element>) { remove { gone.contains($0) } }

    mutating func putFirst(_ debt: (Element) -> Duration) {
      guard let first, debt(first) > .zero else { return }
      guard let least = all.min(by: { debt($0) < debt($1) }), least != first else { return }
      elements = [least] + all.filter { $0 != least }
      passed = 0
    }
  }
}
