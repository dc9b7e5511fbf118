package import SluiceShared

/// Reads the frames of one segment, each only as far as somebody asks for it.
///
/// It decides nothing about what an absent or torn frame means: before a published position that is
/// damage, behind it "not yet", and only the caller knows which.
package struct FrameScanner {
  package let file: any File
  package let nonce: UInt64
  private var window: [UInt8] = []
  private var windowOffset: Int64 = 0
  private let decompressor = Decompressor()

  /// Whether the checksums of sections are compared; only a test leaves that out.
  private let checksSections: Bool

  /// Bytes read at once; a small frame then costs one read.
  package var readAhead = 64 << 10

  package init(_ file: any File, nonce: UInt64, checksSections: Bool = true) {
    self.file = file
    self.nonce = nonce
    self.checksSections = checksSections
  }

  /// What was read last, and from where on.
  package var lastRead: (offset: Int64, bytes: [UInt8]) { (windowOffset, window) }

  /// Takes `bytes`, which were read at `offset`, for what is read next.
  package mutating func take(_ bytes: [UInt8], at offset: Int64) {
    (window, windowOffset) = (bytes, offset)
  }

  /// Forgets what was read, so that the next access asks the server.
  package mutating func invalidate() { window = [] }

  /// The whole header at `offset`; nil where there is none.
  package mutating func header(at offset: Int64) throws(StoreError) -> FrameHeader? {
    if !covers(offset, Int64(FrameHeader.fixedBytes)) || !covers(offset, 512) {
      try fill(from: offset, atLeast: FrameHeader.mostBytes)
    }
    if let header = decode(at: offset) { return header }
    guard !covers(offset, Int64(FrameHeader.mostBytes)) else { return nil }
    try fill(from: offset, atLeast: FrameHeader.mostBytes)
    return decode(at: offset)
  }

  private func decode(at offset: Int64) -> FrameHeader? {
    let start = Int(offset - windowOffset)
    guard start >= 0, start < window.count else { return nil }
    return window.withUnsafeBytes {
      FrameHeader.decode(UnsafeRawBufferPointer(rebasing: $0[start...]), at: offset, nonce: nonce)
    }
  }

  /// The first bytes at `offset`: a block, or what there is of it.
  package mutating func firstBlock(at offset: Int64) throws(StoreError) -> [UInt8] {
    if !covers(offset, Int64(Block.size)) { try fill(from: offset, atLeast: Block.size) }
    let start = Int(offset - windowOffset)
    guard start < window.count else { return [] }
    return Array(window[start..<min(window.count, start + Block.size)])
  }

  /// A section's raw bytes; nil where the frame has none, or its bytes are not what the header says.
  package mutating func section(_ id: SectionID, of header: FrameHeader, limit: Int64)
    throws(StoreError) -> [UInt8]?
  {
    guard let section = header.section(id), section.rawBytes <= limit else { return nil }
    guard let stored = try stored(section, of: header) else { return nil }
    guard section.codec == .zstd else { return stored }
    return stored.withUnsafeBytes { decompressor.decompress($0, count: Int(section.rawBytes)) }
  }

  /// What a start frame at `offset` says; nil where there is none that is whole.
  mutating func startRecord(at offset: Int64) throws(StoreError) -> StartRecord? {
    guard let header = try header(at: offset), header.kind == .start else { return nil }
    return try startRecord(of: header)
  }

  /// The start record in a frame; nil where it has none that is whole.
  mutating func startRecord(of header: FrameHeader) throws(StoreError) -> StartRecord? {
    try section(.start, of: header, limit: 1 << 20).flatMap { try? StartRecord(decoding: $0) }
  }

  private static let unquestionedBytes = 16 << 20

  /// A section's bytes as they stand in the file; nil where they are not what the header says.
  package mutating func stored(_ section: FrameSection, of header: FrameHeader) throws(StoreError)
    -> [UInt8]?
  {
    let offset = header.offset + section.offset
    let count = Int(section.storedBytes)
    let bytes: [UInt8]
    if covers(offset, section.storedBytes) {
      let start = Int(offset - windowOffset)
      bytes = Array(window[start..<start + count])
    } else {
      // Where much is claimed, its end is looked at before memory is taken for it.
      if count > Self.unquestionedBytes {
        guard try file.read(1, at: offset + section.storedBytes - 1).count == 1 else { return nil }
      }
      bytes = try file.read(count, at: offset)
    }
    guard bytes.count == count, crc32c(bytes) == section.crc || !checksSections else { return nil }
    return bytes
  }

  /// Whether every section of the frame is there, as the header says.
  package mutating func isWhole(_ header: FrameHeader) throws(StoreError) -> Bool {
    for section in header.sections where try !isWhole(section, of: header) { return false }
    return true
  }

  /// Whether one section of the frame is.
  package mutating func isWhole(_ section: FrameSection, of header: FrameHeader) throws(StoreError)
    -> Bool
  {
    var crc: UInt32 = 0
    var done: Int64 = 0
    while done < section.storedBytes {
      let count = min(section.storedBytes - done, 1 << 20)
      let offset = header.offset + section.offset + done
      if !covers(offset, count) { try fill(from: offset, atLeast: Int(count)) }
      let start = Int(offset - windowOffset)
      guard start + Int(count) <= window.count else { return false }
      crc = window.withUnsafeBytes {
        crc32c(UnsafeRawBufferPointer(rebasing: $0[start..<start + Int(count)]), continuing: crc)
      }
      done += count
    }
    return crc == section.crc || !checksSections
  }

  private func covers(_ offset: Int64, _ count: Int64) -> Bool {
    offset >= windowOffset && offset + count <= windowOffset + Int64(window.count)
  }

  private mutating func fill(from offset: Int64, atLeast count: Int) throws(StoreError) {
    window = try file.read(max(count, readAhead), at: offset)
    windowOffset = offset
  }
}
