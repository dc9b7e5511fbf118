internal import Glibc
package import SluiceShared

/// The block in which somebody else closes a segment.
///
/// Any byte that is not zero closes it, so a mark torn in any way still does. So do ESTALE and a
/// short read: the file is gone for its owner, which must go on in a new one.
package enum Mark {
  /// Closes the segment in `file`, durably, naming who did it and when for whoever looks.
  package static func write(to file: any File, by name: String, time_ms: Int64) throws(StoreError) {
    try file.write(block(by: name, time_ms: time_ms), at: Block.mark)
    try file.sync()
  }

  static func block(by name: String, time_ms: Int64) -> [UInt8] {
    var block = ByteWriter(reserving: Block.size)
    block.append(raw: Array("SLUICE CLOSED\n".utf8))
    block.append(time_ms)
    block.append(counted: String(decoding: name.utf8.prefix(255), as: UTF8.self))
    return SealedBlock.seal(block, seed: 0)
  }

  /// Reads the mark past every cache: true when the segment is closed.
  package static func isClosed(_ file: any File) throws(StoreError) -> Bool {
    do throws(StoreError) {
      let block = try file.read(Block.size, at: Block.mark)
      return block.withUnsafeBytes { block in isClosed(block) }
    } catch {
      guard error.isStaleHandle else { throw error }
      return true
    }
  }

  /// Whether it is set as `write` sets it; any other byte closes too.
  package static func isWhole(_ file: any File) throws(StoreError) -> Bool {
    let block = try file.read(Block.size, at: Block.mark)
    return block.withUnsafeBytes { SealedBlock.open($0, seed: 0) != nil }
  }

  static func isClosed(_ block: UnsafeRawBufferPointer) -> Bool {
    block.count < Block.size || !SealedBlock.isZero(block)
  }
}

extension StoreError {
  /// ESTALE: the file was removed by another NFS client.
  package var isStaleHandle: Bool { errno == ESTALE }
  /// EBADF of a file that is open: the NFS client could not keep it open for us. Either this host was away
  /// for longer than the server's lease and the file is gone meanwhile, or the server forgot the open.
  /// Readers open everything anew then; an applier's term ends.
  package var isLostOpen: Bool { errno == EBADF }
  /// ENOENT.
  package var isNoSuchFile: Bool { errno == ENOENT }
  /// EEXIST.
  package var isExistingFile: Bool { errno == EEXIST }
  /// ENOENT or ESTALE: somebody has removed the file or its name.
  package var isGone: Bool { isNoSuchFile || isStaleHandle }
  /// A file is gone, or its open.
  package var isGoneOrLost: Bool { isGone || isLostOpen }
  /// The same, or what it held is not kept any more.
  package var isRemoval: Bool { code == .snapshotExpired || isGoneOrLost }
}
