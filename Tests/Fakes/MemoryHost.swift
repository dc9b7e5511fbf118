public import SluiceShared

/// One client machine: what its processes share, and what they lose together.
public final class MemoryHost: Sendable {
  public enum Kind: Sendable {
    /// Mounts the disk over NFS: with a page cache, an attribute cache and a name cache.
    case network
    /// The disk is its own: nothing is stale, nothing is durable until synced.
    case local
  }

  public let kind: Kind
  let disk: MemoryDisk
  let clock: any Clock

  public init(_ disk: MemoryDisk, clock: any Clock, random: SeededRandom, kind: Kind) {
    self.disk = disk
    self.clock = clock
    self.kind = kind
  }

  /// The machine stopped: all its processes died, and its caches are empty when it comes back.
  public func die() {}
}
