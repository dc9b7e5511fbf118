package import SluiceShared

/// One client machine: what its processes share, and what they lose together.
package final class MemoryHost: Sendable {
  package enum Kind: Sendable {
    /// Mounts the disk over NFS: with a page cache, an attribute cache and a name cache.
    case network
    /// The disk is its own: nothing is stale, nothing is durable until synced.
    case local
  }

  package let kind: Kind
  let disk: MemoryDisk
  let clock: any Clock
  let cache: HostCache

  /// How long what it caches is good is drawn from `random` and counted by `clock`'s boot time.
  package init(_ disk: MemoryDisk, clock: any Clock, random: SeededRandom, kind: Kind) {
    self.kind = kind
    self.disk = disk
    self.clock = clock
    let number = disk.state.withLock { state in
      state.lastHost += 1
      return state.lastHost
    }
    cache = HostCache(number: number, isNetwork: kind == .network, random: random)
  }

  /// How often the machine was told, or believed, what a local disk would not have said.
  package struct Counts: Sendable {
    /// ESTALE.
    package var staleHandles = 0
    /// EBADF, since an open was lost.
    package var lostOpens = 0
    /// Files that were removed here while they were open here.
    package var sillyRenames = 0
    /// Names that were taken for what the server knows they are not.
    package var staleNames = 0
    /// Pages that were kept, though others changed the file, because it is open for writing.
    package var keptPages = 0
  }

  package var counts: Counts { disk.state.withLock { _ in cache.counts } }

  /// The machine was away for longer than the server waits: some of what its processes have open is
  /// open no more (EBADF until it is opened anew). What was on its way may land or not.
  package func loseOpens(_ random: inout SeededRandom) {
    guard kind == .network else { return }
    disk.state.withLock { state in
      for number in state.handles.keys.sorted() where state.handles[number]?.host === cache {
        guard random.chance(0.7) else { continue }
        state.failSync(number)
        state.handles[number]?.isLost = true
      }
    }
  }

  /// The machine stopped: all its processes died, and its caches are empty when it comes back. What
  /// it had not sent may land late or never; files that it had renamed when they were unlinked stay.
  package func die() {
    disk.state.withLock { state in
      state.abandon(host: cache)
      cache.clear()
    }
  }
}
