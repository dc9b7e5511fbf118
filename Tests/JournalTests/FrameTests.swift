import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceJournal

@Suite("A frame counts only when all of it is there, and was written for just this place")
struct FrameTests {
  private static let nonce: UInt64 = 0xABCD
  private static let offset: Int64 = 8192

  private func frame(_ sections: [SectionContent], at offset: Int64 = offset) -> EncodedFrame {
    EncodedFrame(
      kind: .batches, offset: offset, nonce: Self.nonce, previous: 5, first: 1, count: 1,
      sections: sections)
  }

  /// The frame's first section as it is read from a file; nil where it is not whole.
  private func read(_ frame: [UInt8], at offset: Int64 = offset, nonce: UInt64 = nonce) throws
    -> [UInt8]?
  {
    let file = try Samples.file([UInt8](repeating: 0, count: Int(Self.offset)) + frame)
    var scanner = FrameScanner(file, nonce: nonce)
    guard let header = try scanner.header(at: Self.offset), try scanner.isWhole(header) else {
      return nil
    }
    return try scanner.section(.batches, of: header, limit: 1 << 20)
  }

  /// A header with one section is 76 bytes long: sizes on both sides of each block border.
  @Test(arguments: [0, 1, 4019, 4020, 4021, 4096, 8115, 8116, 8117, 65536, 70000])
  func roundTrip(count: Int) throws {
    let content = Samples.noise(count)
    let frame = frame([SectionContent(.batches, raw: content)])
    #expect(frame.bytes.count == Block.roundUp(76 + count))
    #expect(frame.header.end == Self.offset + Int64(frame.bytes.count))
    #expect(try read(frame.bytes) == content)
  }

  @Test(arguments: [4096, 4097, 8192, 100_000])
  func compressedRoundTrip(count: Int) throws {
    let content = [UInt8](repeating: 7, count: count)
    let section = SectionContent(.batches, content, compressor: Compressor())
    #expect(section.codec == (count > 2 * Block.size ? .zstd : section.codec))
    #expect(try read(frame([section]).bytes) == content)
  }

  @Test func whatDoesNotShrinkByABlockIsStoredAsItIs() {
    let section = SectionContent(.batches, Samples.noise(20000), compressor: Compressor())
    #expect(section.codec == .raw)
  }

  @Test func everyByteCounts() throws {
    let frame = frame([
      SectionContent(.batches, raw: Samples.noise(40)), SectionContent(.meta, raw: [1, 2, 3]),
    ])
    let file = try Samples.file([UInt8](repeating: 0, count: 8192) + frame.bytes)
    try corruptions(of: frame.bytes, in: 0..<Int(frame.header.length), masks: Array(1...255)) {
      bytes, place in
      try file.write(bytes, at: Self.offset)
      var scanner = FrameScanner(file, nonce: Self.nonce)
      if let header = try scanner.header(at: Self.offset) {
        #expect(try !scanner.isWhole(header), "byte \(place)")
        let isFirst = place < header.headerBytes + 40
        #expect((try scanner.section(.batches, of: header, limit: 100) == nil) == isFirst)
      }
    }
  }

  @Test func everyCutCounts() throws {
    let frame = frame([SectionContent(.batches, raw: Samples.noise(100))])
    for count in 0..<Int(frame.header.length) {
      #expect(try read(Array(frame.bytes[..<count])) == nil)
      let torn = frame.bytes[..<count] + [UInt8](repeating: 0, count: 4096 - count)
      let last = frame.bytes[count..<Int(frame.header.length)].allSatisfy { $0 == 0 }
      #expect(try (read(Array(torn)) == nil) != last)
    }
  }

  @Test func aFrameBelongsToItsPlace() throws {
    let frame = frame([SectionContent(.batches, raw: [1])], at: 4096)
    #expect(try read(frame.bytes) == nil)
    let right = self.frame([SectionContent(.batches, raw: [1])])
    #expect(try read(right.bytes) == [1])
    #expect(try read(right.bytes, nonce: Self.nonce + 1) == nil)
  }

  private func section(_ codec: Codec, stored: Int64, raw: Int64, crc: UInt32 = 0) -> FrameSection {
    FrameSection(
      id: SectionID.batches.rawValue, codec: codec, crc: crc, storedBytes: stored, rawBytes: raw,
      offset: 76)
  }

  /// A header whose checksum is right, made by somebody who means harm.
  @Test(arguments: [
    (Codec.raw, Int64(1) << 60, Int64(1) << 60), (.zstd, 1 << 60, 1), (.zstd, 1 << 60, 1 << 60),
    (.raw, 100, 1), (.raw, -1, -1), (.zstd, 4, -1), (.zstd, 4, .max), (.zstd, 4, 1 << 20),
    (.zstd, 0, 1 << 20),
  ])
  func aSizeThatLiesIsRefused(codec: Codec, stored: Int64, raw: Int64) throws {
    // The lying sum stays within 64 bits.
    let (bytes, _) = FrameHeader.encode(
      kind: .batches, offset: Self.offset, nonce: Self.nonce, previous: 5, first: 1, count: 1,
      sections: [section(codec, stored: stored, raw: raw)])
    #expect(try read(bytes + [UInt8](repeating: 0, count: 4096 - bytes.count)) == nil)
  }

  @Test func aDecompressedSizeThatLiesIsRefused() throws {
    let content = [UInt8](repeating: 7, count: 50000)
    let honest = SectionContent(.batches, content, compressor: Compressor())
    for raw in [Int64(1), 49999, 50001, 1 << 19, 1 << 20, 1 << 40] {
      var lying = honest
      lying.rawBytes = raw
      #expect(try read(frame([lying]).bytes) == nil, "\(raw)")
    }
    #expect(try read(frame([honest]).bytes) == content)
  }

  @Test func compressedNoiseIsRefused() throws {
    var section = SectionContent(.batches, raw: Samples.noise(500))
    section.codec = .zstd
    section.rawBytes = 1000
    #expect(try read(frame([section]).bytes) == nil)
  }

  @Test func tooManySectionsAreRefused() throws {
    let many = [SectionContent](repeating: SectionContent(.meta, raw: []), count: 31)
    #expect(try read(frame(many + [SectionContent(.batches, raw: [1])]).bytes) == [1])
    #expect(try read(frame(many + many + [SectionContent(.batches, raw: [1])]).bytes) == nil)
  }
}
