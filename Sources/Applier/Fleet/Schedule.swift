internal import SluiceShared

/// Which of many stores is looked after next, and which may execute batches.
///
/// Executing a group may take a quarter of a second, and one batch of it half a minute; looking takes some
/// round trips to the file server. Stores must not wait for the batches of others, least of all with the beat
/// that keeps their lease. So only `slots` threads execute at once, fewer than there are, and all others look
/// and beat; a store that executes beats by itself (`Leader.beatDuringExecution`). Looks are made in the order
/// in which they are due. Who has batches gets one group done, in the order in which they came, and then
/// stands at the end of the queue again; while it waits there, it is looked at for its beats.
struct Schedule<Key: Hashable & Sendable> {
  /// What a thread does next.
  struct Turn {
    var key: Key
    /// Whether it holds one of the slots.
    var mayExecute: Bool
  }

  /// What a store waits for after its turn; times are boot times.
  enum Rest: Equatable {
    case until(Duration)
    /// A slot, and at that time it is to be looked at in any case.
    case slot(orUntil: Duration)
    case ended
  }

  private struct Entry {
    var due: Duration
    /// Of the place in the heap that counts; others are left over.
    var version: UInt64
    var isTaken = false
    var holdsSlot = false
    var waitsForSlot = false
    /// Something came while it was taken.
    var isWoken = false
    var isRemoved = false
  }

  let slots: Int
  private(set) var executing = 0
  private var entries: [Key: Entry] = [:]
  private var heap = Heap<Place>()
  private var queue: [Key] = []
  private var lastVersion: UInt64 = 0

  private struct Place: Comparable {
    var due: Duration
    var version: UInt64
    var key: Key
    static func < (a: Self, b: Self) -> Bool { (a.due, a.version) < (b.due, b.version) }
    static func == (a: Self, b: Self) -> Bool { a.version == b.version }
  }

  init(slots: Int) { self.slots = slots }

  var count: Int { entries.count }

  mutating func add(_ key: Key, at due: Duration) {
    entries[key] = Entry(due: due, version: 0)
    put(key, due)
  }

  /// One that is taken goes with the end of its turn.
  mutating func remove(_ key: Key) {
    if entries[key]?.isTaken == true {
      entries[key]?.isRemoved = true
    } else {
      drop(key)
    }
  }

  private mutating func drop(_ key: Key) {
    if entries.removeValue(forKey: key)?.waitsForSlot == true { queue.removeAll { $0 == key } }
  }

  private mutating func put(_ key: Key, _ due: Duration) {
    lastVersion += 1
    entries[key]?.due = due
    entries[key]?.version = lastVersion
    heap.push(Place(due: due, version: lastVersion, key: key))
  }

  // MARK: turns

  /// When there is something to do (boot time); nil: nothing ever.
  mutating func nextDue() -> Duration? {
    if executing < slots, queue.contains(where: { entries[$0]?.isTaken == false }) { return .zero }
    while let first = heap.first {
      if let entry = entries[first.key], entry.version == first.version, !entry.isTaken {
        return first.due
      }
      heap.removeFirst()
    }
    return nil
  }

  mutating func take(at now: Duration) -> Turn? {
    // However many wait here, all but `slots` threads are left to those below.
    if executing < slots, let place = queue.firstIndex(where: { entries[$0]?.isTaken == false }) {
      let key = queue.remove(at: place)
      entries[key]?.waitsForSlot = false
      begin(key)
      grant(key)
      return Turn(key: key, mayExecute: true)
    }
    guard let due = nextDue(), due <= now, let key = heap.removeFirst()?.key else { return nil }
    begin(key)
    return Turn(key: key, mayExecute: false)
  }

  private mutating func begin(_ key: Key) {
    entries[key]?.isTaken = true
    entries[key]?.isWoken = false
  }

  private mutating func grant(_ key: Key) {
    executing += 1
    entries[key]?.holdsSlot = true
  }

  /// Who is being looked at has batches. A slot is theirs where one is free and nobody waits for it.
  mutating func mayExecute(_ key: Key) -> Bool {
    guard let entry = entries[key] else { return false }
    if entry.holdsSlot { return true }
    guard executing < slots, queue.isEmpty else { return false }
    grant(key)
    return true
  }

  /// The turn is over. False: it is here no more.
  @discardableResult
  mutating func done(_ key: Key, _ rest: Rest, at now: Duration) -> Bool {
    guard var entry = entries[key] else { return false }
    if entry.holdsSlot { executing -= 1 }
    (entry.isTaken, entry.holdsSlot) = (false, false)
    entries[key] = entry
    guard !entry.isRemoved, rest != .ended else {
      drop(key)
      return false
    }
    switch rest {
    case .ended: break
    case .until(let due):
      if entry.waitsForSlot { queue.removeAll { $0 == key } }
      entries[key]?.waitsForSlot = false
      put(key, entry.isWoken ? now : due)
    case .slot(let due):
      if !entry.waitsForSlot { queue.append(key) }
      entries[key]?.waitsForSlot = true
      put(key, entry.isWoken ? now : due)
    }
    return true
  }

  /// Something came for it: it is due now. Whether that is news to the schedule.
  @discardableResult
  mutating func wake(_ key: Key, at now: Duration) -> Bool {
    guard let entry = entries[key] else { return false }
    if entry.isTaken {
      entries[key]?.isWoken = true
      return false
    }
    // It is looked at when it gets its slot.
    guard !entry.waitsForSlot, entry.due > now else { return false }
    put(key, now)
    return true
  }

  mutating func wakeAll(at now: Duration) {
    for (key, entry) in entries {
      if entry.isTaken { entries[key]?.isWoken = true } else { put(key, now) }
    }
  }
}

/// A binary heap: the smallest first.
struct Heap<Element: Comparable> {
  private var elements: [Element] = []

  var first: Element? { elements.first }

  mutating func push(_ element: Element) {
    elements.append(element)
    var place = elements.count - 1
    while place > 0, elements[place] < elements[(place - 1) / 2] {
      elements.swapAt(place, (place - 1) / 2)
      place = (place - 1) / 2
    }
  }

  @discardableResult
  mutating func removeFirst() -> Element? {
    guard let last = elements.popLast() else { return nil }
    guard let first = elements.first else { return last }
    elements[0] = last
    var place = 0
    while true {
      var child = 2 * place + 1
      if child + 1 < elements.count, elements[child + 1] < elements[child] { child += 1 }
      guard child < elements.count, elements[child] < elements[place] else { return first }
      elements.swapAt(place, child)
      place = child
    }
  }
}
