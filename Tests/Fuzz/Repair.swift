import SluiceShared

@testable import SluiceJournal

/// Sets checksums right, so that a fuzzer gets behind them: a checksum stops accidents, not what a
/// broken or hostile program writes.
struct Repair {
  var file: [UInt8]
  let mode: FuzzMode

  func integer<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T {
    guard offset >= 0, offset + MemoryLayout<T>.size <= file.count else { return 0 }
    return file.withUnsafeBytes {
      T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
  }

  mutating func set<T: FixedWidthInteger>(_ value: T, at offset: Int) {
    guard offset >= 0, offset + MemoryLayout<T>.size <= file.count else { return }
    file.withUnsafeMutableBytes {
      $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }
  }

  /// Seals the block at `offset`; returns its checksum. A block of zeros stays one.
  @discardableResult
  mutating func seal(_ offset: Int, seed: UInt64) -> UInt32 {
    guard offset + Block.size <= file.count,
      file[offset..<offset + Block.size].contains(where: { $0 != 0 })
    else { return 0 }
    let crc = file.withUnsafeBytes {
      crc32c(
        UnsafeRawBufferPointer(rebasing: $0[offset..<offset + Block.size - 4]),
        continuing: seeded(seed))
    }
    set(crc, at: offset + Block.size - 4)
    return crc
  }

  /// The frames from `start` on, as far as they look like frames.
  mutating func frames(from start: Int, nonce: UInt64, previous: UInt32) -> (
    end: Int, last: Int, checksum: UInt32, startFrame: Int
  ) {
    var offset = start
    var checksum = previous
    var last = start
    var startFrame = start
    while integer(UInt32.self, at: offset) == FrameHeader.magic {
      if integer(UInt8.self, at: offset + 4) == FrameKind.start.rawValue { startFrame = offset }
      checksum = frame(at: offset, nonce: nonce, previous: checksum)
      last = offset
      let length = integer(Int64.self, at: offset + 8)
      guard length > 0, length < 1 << 30 else { break }
      offset += Int(Block.roundUp(length))
    }
    return (offset, last, checksum, startFrame)
  }

  /// One frame's header and sections; returns its checksum.
  private mutating func frame(at offset: Int, nonce: UInt64, previous: UInt32) -> UInt32 {
    let sections = min(Int(integer(UInt16.self, at: offset + 40)), FrameHeader.mostSections)
    let headerBytes = FrameHeader.fixedBytes + 24 * sections + 4
    guard offset + headerBytes <= file.count else { return 0 }
    if mode.contains(.repairsPlaces) {
      set(UInt16(sections), at: offset + 40)
      set(UInt16(headerBytes), at: offset + 6)
      set(Int64(offset), at: offset + 16)
    }
    set(previous, at: offset + 36)
    var length = headerBytes
    for i in 0..<sections {
      let place = offset + FrameHeader.fixedBytes + 24 * i
      var stored = integer(Int64.self, at: place + 8)
      if mode.contains(.repairsPlaces) {
        stored = min(max(0, stored), Int64(max(0, file.count - offset - length)))
        set(stored, at: place + 8)
        let raw = integer(Int64.self, at: place + 16)
        if integer(UInt8.self, at: place + 2) == 0 || raw < stored { set(stored, at: place + 16) }
      }
      guard stored >= 0, stored <= Int64(max(0, file.count - offset - length)) else { break }
      let begin = offset + length
      let crc = file.withUnsafeBytes {
        crc32c(UnsafeRawBufferPointer(rebasing: $0[begin..<begin + Int(stored)]))
      }
      set(crc, at: place + 4)
      length += Int(stored)
    }
    if mode.contains(.repairsPlaces) { set(Int64(length), at: offset + 8) }
    let checksum = file.withUnsafeBytes {
      crc32c(
        UnsafeRawBufferPointer(rebasing: $0[offset..<offset + headerBytes - 4]),
        continuing: seeded(nonce))
    }
    set(checksum, at: offset + headerBytes - 4)
    return checksum
  }
}

extension Repair {
  /// A journal segment, as far as the mode asks for it.
  static func journal(_ file: [UInt8], _ mode: FuzzMode) -> [UInt8] {
    var repair = Repair(file: file, mode: mode)
    guard mode.contains(.repairsChecksums) else { return file }
    let header = repair.seal(Int(Block.header), seed: 0)
    _ = repair.frames(
      from: Int(Block.firstJournalFrame), nonce: repair.integer(UInt64.self, at: 4096 + 56),
      previous: header)
    return repair.file
  }

  /// A log segment. With places, its newer beacon publishes all of its frames.
  static func log(_ file: [UInt8], _ mode: FuzzMode) -> [UInt8] {
    var repair = Repair(file: file, mode: mode)
    guard mode.contains(.repairsChecksums) else { return file }
    let header = repair.seal(Int(Block.header), seed: 0)
    let nonce = repair.integer(UInt64.self, at: 4096 + 40)
    let frames = repair.frames(from: Int(Block.firstLogFrame), nonce: nonce, previous: header)
    for slot in [Int(Block.beacons.0), Int(Block.beacons.1)] {
      if mode.contains(.repairsPlaces), repair.integer(UInt64.self, at: slot) == Beacon.magic {
        repair.set(Int64(frames.end), at: slot + 40)
        repair.set(Int64(frames.last), at: slot + 48)
        repair.set(frames.checksum, at: slot + 56)
        repair.set(Int64(frames.startFrame), at: slot + 64)
      }
      repair.seal(slot, seed: nonce)
    }
    return repair.file
  }

  /// A checkpoint's page checksums.
  static func sidecar(_ file: [UInt8], _ mode: FuzzMode) -> [UInt8] {
    var repair = Repair(file: file, mode: mode)
    guard mode.contains(.repairsChecksums) else { return file }
    repair.seal(0, seed: 0)
    let txid = repair.integer(UInt64.self, at: 32)
    for offset in stride(from: Block.size, to: file.count, by: Block.size) {
      repair.seal(offset, seed: txid)
    }
    return repair.file
  }
}
