package import SluiceShared

/// A frame of which every section was there, as its header says, when it was looked at.
package struct WholeFrame: Sendable {
  package let header: FrameHeader

  fileprivate init(_ header: FrameHeader) { self.header = header }
}

extension FrameChain {
  /// The frame that continues the chain, and goes behind it; nil where none does that is whole. Then the
  /// chain stays where it is.
  package mutating func nextWhole() throws(StoreError) -> WholeFrame? {
    guard let header = try ahead(), try scanner.isWhole(header) else { return nil }
    pass(header)
    return WholeFrame(header)
  }
}
