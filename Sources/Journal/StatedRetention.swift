internal import SluiceShared

/// What an applier says of how much it keeps: for `status`, for nobody's safety.
package struct StatedRetention: Hashable, Sendable {
  /// History of this last time is kept, in milliseconds; 0: for ever, or the applier does not say.
  package var keep_ms: UInt64 = 0
  /// Bytes of log and checkpoints; 0: however many.
  package var bytes: UInt64 = 0
  /// Checkpoints at most; 0: the applier does not say how much it keeps.
  package var checkpoints: UInt32 = 0

  package init(keep_ms: UInt64 = 0, bytes: UInt64 = 0, checkpoints: UInt32 = 0) {
    self.keep_ms = keep_ms
    self.bytes = bytes
    self.checkpoints = checkpoints
  }

  func encode(to writer: inout ByteWriter) {
    writer.append(keep_ms)
    writer.append(bytes)
    writer.append(checkpoints)
  }

  init(from reader: inout ByteReader) throws(DecodingError) {
    keep_ms = try reader.integer()
    bytes = try reader.integer()
    checkpoints = try reader.integer()
  }
}
