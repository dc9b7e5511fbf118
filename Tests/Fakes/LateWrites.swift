/// Writes that have not landed yet.
struct LateWrites {
  /// A write for which nobody waits: it may land at any later time, or be lost.
  struct Loose {
    var change: ContentChange
    var inode: UInt64
    var host: Int
    /// Nobody sends it again after the server restarted.
    var hostDied: Bool
  }

  var loose: [Loose] = []
  /// The open files that have something to send, in the order in which that began.
  var waiting: [UInt64] = []
  /// How many changes they have to send.
  var count = 0

  var isEmpty: Bool { loose.isEmpty && count == 0 }
}

extension MemoryDisk.State {
  /// Lands one write, or loses it where nobody waits for it.
  mutating func drift(_ random: inout SeededRandom, now_ms: Int64?) {
    guard !late.isEmpty else { return }
    var chosen = random.below(late.loose.count + late.count)
    if chosen < late.loose.count {
      let loose = late.loose.remove(at: chosen)
      // Its machine has forgotten it: it sees it as it sees another's change.
      if !random.chance(0.3) { land(loose.change, loose.inode, by: 0, now_ms: now_ms) }
      return
    }
    chosen -= late.loose.count
    for number in late.waiting {
      guard let unlanded = handles[number]?.unlanded else { continue }
      if chosen < unlanded { return landOne(of: number, chosen, now_ms: now_ms) }
      chosen -= unlanded
    }
  }

  private mutating func landOne(of number: UInt64, _ chosen: Int, now_ms: Int64?) {
    guard let handle = handles[number] else { return }
    var left = chosen
    for place in handle.unsynced.indices where handle.unsynced[place].landed == 0 {
      if left == 0 {
        land(handle.unsynced[place].change, handle.inode, by: handle.hostNumber, now_ms: now_ms)
        handles[number]?.unsynced[place].landed = life
        handles[number]?.unlanded -= 1
        late.count -= 1
        if handle.unlanded == 1 { late.waiting.removeAll { $0 == number } }
        return
      }
      left -= 1
    }
  }

  /// A process died: its files are closed, and nobody waits for its writes.
  mutating func abandon(client: UInt64) {
    for number in handles.keys.sorted() where handles[number]?.client == client { close(number) }
  }

  /// A machine died: nobody sends its writes again.
  mutating func abandon(host: HostCache) {
    for number in handles.keys.sorted() where handles[number]?.host === host {
      close(number, hostDied: true)
    }
    for place in late.loose.indices where late.loose[place].host == host.number {
      late.loose[place].hostDied = true
    }
  }
}
