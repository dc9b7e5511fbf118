/// From which sizes on a commit goes other ways because it is large. Smaller ones let tests walk those with little
/// data.
public struct CommitSizes: Sendable {
  /// Bytes of changed pages that stay in memory; the others go to a scratch file.
  public var dirtyBytes = Limits.dirtyBytes
  /// Bytes of changed pages at most.
  public var commitBytes = Limits.commitBytes
  /// A frame of more bytes is written in pieces, each of so many.
  public var frameBytes = Limits.frameBytesTogether
  public var pieceBytes = Limits.framePieceBytes
  /// It is synced each time that so many bytes were written.
  public var syncBytes = Limits.frameBytesUnsynced

  public init() {}

  /// Small enough for the databases of tests.
  public static var small: CommitSizes {
    var sizes = CommitSizes()
    sizes.dirtyBytes = 8 << 10
    sizes.frameBytes = 4 << 10
    sizes.pieceBytes = 4 << 10
    sizes.syncBytes = 12 << 10
    return sizes
  }
}
