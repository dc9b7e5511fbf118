/// Appends little-endian integers, varints and byte strings.
package struct ByteWriter: Sendable {
  package var bytes: [UInt8] = []

  package init(reserving capacity: Int = 0) { bytes.reserveCapacity(capacity) }

  package var count: Int { bytes.count }

  package mutating func append(_ value: UInt8) { bytes.append(value) }

  @inlinable
  package mutating func append<T: FixedWidthInteger>(_ value: T) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  package mutating func append(_ value: Identifier128) {
    append(value.high.bigEndian)
    append(value.low.bigEndian)
  }

  package mutating func append(raw: UnsafeRawBufferPointer) { bytes.append(contentsOf: raw) }
  package mutating func append(raw: [UInt8]) { bytes.append(contentsOf: raw) }

  /// LEB128, at most 10 bytes.
  @inlinable
  package mutating func append(varint value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  /// A signed integer as a varint, small magnitudes short.
  @inlinable
  package mutating func append(zigzag value: Int64) {
    append(varint: UInt64(bitPattern: (value << 1) ^ (value >> 63)))
  }

  /// A varint length, then the bytes.
  package mutating func append(counted: [UInt8]) {
    append(varint: UInt64(counted.count))
    bytes.append(contentsOf: counted)
  }

  package mutating func append(counted text: String) {
    append(varint: UInt64(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }

  /// Fills up with zeros to a multiple of `alignment`.
  package mutating func pad(to alignment: Int) {
    let rest = bytes.count % alignment
    if rest != 0 { bytes += [UInt8](repeating: 0, count: alignment - rest) }
  }

  /// Overwrites a little-endian integer written earlier.
  package mutating func set<T: FixedWidthInteger>(_ value: T, at offset: Int) {
    bytes.withUnsafeMutableBytes {
      $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }
  }
}
