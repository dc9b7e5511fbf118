/// From which sizes on a commit goes other ways because it is large. Smaller ones let tests walk those with little
/// data.
package struct CommitSizes: Sendable {
  /// Bytes of changed pages that stay in memory; the others go to a scratch file.
  package var dirtyBytes = Limits.dirtyBytes
  /// Bytes of changed pages at most.
  package var commitBytes = Limits.commitBytes
  package var commitPages = Limits.commitPages
  /// A frame of more bytes is written in pieces, each of so many.
  package var frameBytes = Limits.frameBytesTogether
  package var pieceBytes = Limits.framePieceBytes
  /// It is synced each time that so many bytes were written.
  package var syncBytes = Limits.frameBytesUnsynced

  package init() {}

  /// Small enough for the databases of tests.
  package static var small: CommitSizes {
    var sizes = CommitSizes()
    sizes.dirtyBytes = 8 << 10
    sizes.frameBytes = 4 << 10
    sizes.pieceBytes = 4 << 10
    sizes.syncBytes = 12 << 10
    return sizes
  }
}
