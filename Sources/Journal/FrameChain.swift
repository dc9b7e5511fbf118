package import SluiceShared

/// The frames of one segment in their order: each names the checksum of the one before it, and the
/// first one that of the header block.
///
/// It says where the chain goes on, and nothing about what it means that it does not: before a
/// published position that is damage, behind it "not yet", and only the caller knows which.
package struct FrameChain {
  /// Reads the frames' sections.
  package var scanner: FrameScanner
  /// Where the next frame begins.
  package private(set) var offset: Int64
  /// The checksum that it has to name.
  package private(set) var checksum: UInt32

  /// The chain behind a frame that ends at `offset` and has `checksum`.
  package init(_ scanner: FrameScanner, from offset: Int64, after checksum: UInt32) {
    self.scanner = scanner
    self.offset = offset
    self.checksum = checksum
  }

  /// The header that continues the chain; nil where none does. The chain stays where it is.
  package mutating func ahead() throws(StoreError) -> FrameHeader? {
    guard let header = try scanner.header(at: offset), header.previous == checksum else {
      return nil
    }
    return header
  }

  /// Goes behind `header`, which `ahead` returned.
  package mutating func pass(_ header: FrameHeader) {
    offset = header.end
    checksum = header.checksum
  }
}

extension JournalSegmentHeader {
  /// A journal segment's header and the chain of its frames; nil where `file` has no header of this
  /// format.
  package static func read(_ file: any File) throws(StoreError) -> (
    header: Self, frames: FrameChain
  )? {
    let block = try file.read(Block.size, at: Block.header)
    guard case .header(let header, let checksum) = block.withUnsafeBytes({ decode($0) }) else {
      return nil
    }
    let scanner = FrameScanner(file, nonce: header.nonce)
    return (header, FrameChain(scanner, from: Block.firstJournalFrame, after: checksum))
  }
}
