/// Appends little-endian integers, varints and byte strings.
public struct ByteWriter: Sendable {
  public var bytes: [UInt8] = []

  public init(reserving capacity: Int = 0) { bytes.reserveCapacity(capacity) }

  public var count: Int { bytes.count }

  public mutating func append(_ value: UInt8) { bytes.append(value) }

  @inlinable
  public mutating func append<T: FixedWidthInteger>(_ value: T) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  public mutating func append(_ value: Identifier128) {
    append(value.high.bigEndian)
    append(value.low.bigEndian)
  }

  public mutating func append(raw: UnsafeRawBufferPointer) { bytes.append(contentsOf: raw) }
  public mutating func append(raw: [UInt8]) { bytes.append(contentsOf: raw) }

  /// LEB128, at most 10 bytes.
  @inlinable
  public mutating func append(varint value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  /// A signed integer as a varint, small magnitudes short.
  @inlinable
  public mutating func append(zigzag value: Int64) {
    append(varint: UInt64(bitPattern: (value << 1) ^ (value >> 63)))
  }

  /// A varint length, then the bytes.
  public mutating func append(counted: [UInt8]) {
    append(varint: UInt64(counted.count))
    bytes.append(contentsOf: counted)
  }

  public mutating func append(counted text: String) {
    append(varint: UInt64(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }

  /// Fills up with zeros to a multiple of `alignment`.
  public mutating func pad(to alignment: Int) {
    let rest = bytes.count % alignment
    if rest != 0 { bytes += [UInt8](repeating: 0, count: alignment - rest) }
  }

  /// Overwrites a little-endian integer written earlier.
  public mutating func set<T: FixedWidthInteger>(_ value: T, at offset: Int) {
    bytes.withUnsafeMutableBytes {
      $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }
  }
}
