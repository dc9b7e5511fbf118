public import SluiceShared

/// What a file server holds: names, files with their blocks, and writes that have not landed yet.
///
/// Shared by the `MemoryFileSystem`s of all the processes that mount it.
public final class MemoryDisk: Sendable {
  struct Inode {
    var kind: FileStatus.Kind
    /// Blocks of 4096 bytes; one that is missing is a hole.
    var blocks: [Int64: [UInt8]] = [:]
    var size: Int64 = 0
    var links: UInt32 = 1
    var owner: UInt32 = 0
    var permissions: UInt32
    var modified_ms: Int64
    /// Of a symbolic link.
    var target = ""
  }

  /// A part of a write that is still on its way.
  struct Piece {
    var inode: UInt64
    var offset: Int64
    var bytes: [UInt8]
    /// The open file whose sync lands it; nil where nobody waits for it any more.
    var file: UInt64?
    /// The mount that wrote it.
    var client: UInt64
  }

  struct State {
    var entries: [String: UInt64] = [:]
    var inodes: [UInt64: Inode] = [:]
    var afloat: [Piece] = []
    var lastNumber: UInt64 = 0
    /// Of open files, by inode: a file without names lives as long as one is open.
    var open: [UInt64: Int] = [:]

    mutating func number() -> UInt64 {
      lastNumber += 1
      return lastNumber
    }
  }

  static let blockBytes = 4096
  /// link(2) replaces an existing name instead of failing: what rename(2) would do. To show what
  /// O_EXCL and EEXIST are needed for.
  public let linkReplaces: Bool
  let state = Monitor(State())

  /// `clock`: the server's, from which times of modification come; without it, the clients'.
  public init(linkReplaces: Bool = false, clock: (any Clock)? = nil) {
    self.linkReplaces = linkReplaces
  }

  /// A disk of its own that holds everything that is stable here.
  public func copy(clock: (any Clock)? = nil) -> MemoryDisk {
    let copy = MemoryDisk(linkReplaces: linkReplaces, clock: clock)
    let state = state.withLock { $0 }
    copy.state.withLock { $0 = state }
    return copy
  }

  /// The server restarts, with what is stable.
  public func losePower(_ random: inout SeededRandom) {}

  /// Everything lands and is stable, as after a clean shutdown.
  public func settle() {}

  /// What was tried through read-only mounts: how often, and the first path.
  public var forbiddenWrites: (count: Int, first: String?) { (0, nil) }

  /// The file that `path` names at the server.
  public func inode(of path: String) -> UInt64? { state.withLock { $0.entries[path] } }

  /// The whole content of a file as no loss of power can change it; nil where the name itself is not
  /// stable.
  public func stableContent(_ path: String) -> [UInt8]? { content(path) }

  func perform<R>(_ body: (inout State) -> Result<R, StoreError>) throws(StoreError) -> R {
    try state.withLock { body(&$0) }.get()
  }

  // MARK: For tests

  /// Whether writes are on their way.
  public var hasAfloat: Bool { state.withLock { !$0.afloat.isEmpty } }

  /// Lands one of the pieces on their way, or loses it where nobody waits for it.
  public func drift(_ random: inout SeededRandom) {
    state.withLock { state in
      guard !state.afloat.isEmpty else { return }
      let piece = state.afloat.remove(at: random.below(state.afloat.count))
      if piece.file == nil, random.chance(0.3) { return }
      state.land(piece)
    }
  }

  /// The client died: nobody waits for its writes; each may land or not.
  public func abandon(client: UInt64) {
    state.withLock { state in
      for i in state.afloat.indices where state.afloat[i].client == client {
        state.afloat[i].file = nil
      }
    }
  }

  /// The whole content of a file, as it has landed; nil where there is no such name.
  public func content(_ path: String) -> [UInt8]? {
    state.withLock { state in
      guard let inode = state.entries[path] else { return nil }
      return state.read(inode, at: 0, count: Int(state.inodes[inode]?.size ?? 0))
    }
  }

  /// All names, sorted.
  public var paths: [String] { state.withLock { $0.entries.keys.sorted() } }

  /// Changes bytes behind everybody's back.
  public func damage(_ path: String, at offset: Int64, _ change: (inout UInt8) -> Void) {
    state.withLock { state in
      guard let inode = state.entries[path] else { return }
      var byte = state.read(inode, at: offset, count: 1)
      guard byte.count == 1 else { return }
      change(&byte[0])
      state.write(inode, at: offset, byte)
    }
  }
}

extension MemoryDisk.State {
  func read(_ inode: UInt64, at offset: Int64, count: Int) -> [UInt8] {
    guard let file = inodes[inode], offset < file.size else { return [] }
    let size = Int64(MemoryDisk.blockBytes)
    let end = min(file.size, offset + Int64(count))
    var bytes = [UInt8](repeating: 0, count: Int(end - offset))
    var place = offset
    while place < end {
      let number = place / size
      let next = min(end, (number + 1) * size)
      if let block = file.blocks[number] {
        let start = Int(place - offset)
        let from = Int(place - number * size)
        bytes.withUnsafeMutableBytes { target in
          block.withUnsafeBytes { source in
            UnsafeMutableRawBufferPointer(rebasing: target[start..<start + Int(next - place)])
              .copyMemory(
                from: UnsafeRawBufferPointer(rebasing: source[from..<from + Int(next - place)]))
          }
        }
      }
      place = next
    }
    return bytes
  }

  mutating func write(_ inode: UInt64, at offset: Int64, _ bytes: [UInt8]) {
    guard inodes[inode] != nil else { return }
    let size = Int64(MemoryDisk.blockBytes)
    let end = offset + Int64(bytes.count)
    var place = offset
    while place < end {
      let number = place / size
      let next = min(end, (number + 1) * size)
      var block =
        inodes[inode]?.blocks[number] ?? [UInt8](repeating: 0, count: MemoryDisk.blockBytes)
      let from = Int(place - number * size)
      block.replaceSubrange(
        from..<from + Int(next - place),
        with: bytes[Int(place - offset)..<Int(next - offset)])
      inodes[inode]?.blocks[number] = block
      place = next
    }
    if let old = inodes[inode]?.size, old < end { inodes[inode]?.size = end }
  }

  mutating func land(_ piece: MemoryDisk.Piece) {
    write(piece.inode, at: piece.offset, piece.bytes)
  }

  /// Lands what an open file has on its way.
  mutating func flush(file: UInt64) {
    let pieces = afloat.filter { $0.file == file }
    guard !pieces.isEmpty else { return }
    afloat.removeAll { $0.file == file }
    for piece in pieces { land(piece) }
  }

  mutating func removeIfUnused(_ inode: UInt64) {
    if inodes[inode]?.links == 0, open[inode, default: 0] == 0 { inodes[inode] = nil }
  }
}
