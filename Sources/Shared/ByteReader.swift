/// Why bytes could not be decoded; the caller knows the file and adds it.
@usableFromInline
package struct DecodingError: Error, Sendable, CustomStringConvertible {
  @usableFromInline package let description: String
  @usableFromInline package init(_ description: String) { self.description = description }
}

/// Reads what `ByteWriter` wrote, every access checked against the end.
@usableFromInline
package struct ByteReader {
  @usableFromInline package let bytes: UnsafeRawBufferPointer
  @usableFromInline package private(set) var position = 0

  package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  @inlinable package var remaining: Int { bytes.count - position }
  @inlinable package var isAtEnd: Bool { position >= bytes.count }

  @inlinable
  package mutating func take(_ count: Int) throws(DecodingError) -> UnsafeRawBufferPointer {
    guard count >= 0, count <= bytes.count - position else {
      throw DecodingError("\(count) bytes wanted, \(bytes.count - position) left")
    }
    let slice = UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
    advance(count)
    return slice
  }

  @usableFromInline mutating func advance(_ count: Int) { position += count }

  @inlinable
  package mutating func integer<T: FixedWidthInteger>(_ type: T.Type = T.self)
    throws(DecodingError) -> T
  {
    T(littleEndian: try take(MemoryLayout<T>.size).loadUnaligned(as: T.self))
  }

  package mutating func identifier() throws(DecodingError) -> Identifier128 {
    let high = UInt64(bigEndian: try integer(UInt64.self))
    let low = UInt64(bigEndian: try integer(UInt64.self))
    return Identifier128(high: high, low: low)
  }

  @inlinable
  package mutating func varint() throws(DecodingError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      guard position < bytes.count else { throw DecodingError("a varint is cut off") }
      let byte = bytes[position]
      advance(1)
      guard shift < 63 || byte <= 1 else { throw DecodingError("a varint is over 64 bits") }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
  }

  /// A varint that counts things of at least `size` bytes each that must follow: a lie about the
  /// count is found before anything is allocated for it.
  @inlinable
  package mutating func count(ofAtLeast size: Int = 1) throws(DecodingError) -> Int {
    let value = try varint()
    guard value <= UInt64(remaining / max(1, size)) else {
      throw DecodingError("a count of \(value) does not fit the \(remaining) bytes left")
    }
    return Int(value)
  }

  @inlinable
  package mutating func zigzag() throws(DecodingError) -> Int64 {
    let value = try varint()
    return Int64(bitPattern: (value >> 1) ^ (0 &- (value & 1)))
  }

  @inlinable
  package mutating func counted() throws(DecodingError) -> UnsafeRawBufferPointer {
    try take(try count())
  }

  /// A counted UTF-8 string; anything that is no UTF-8 is refused.
  package mutating func text() throws(DecodingError) -> String {
    let slice = try counted()
    guard let text = String(validating: slice, as: UTF8.self) else {
      throw DecodingError("a text is not UTF-8")
    }
    return text
  }
}
