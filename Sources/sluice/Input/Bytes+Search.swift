import Glibc

extension [UInt8] {
  /// Where `byte` first stands in a range, by memchr(3): a line at its limit has 128 million bytes, and a
  /// debug build takes seconds for as many elements of a collection.
  func firstIndex(of byte: UInt8, in range: Range<Int>) -> Int? {
    withUnsafeBytes { bytes in
      let part = UnsafeRawBufferPointer(rebasing: bytes[range])
      guard let start = part.baseAddress, let found = memchr(start, Int32(byte), part.count)
      else { return nil }
      return range.lowerBound + (UnsafeRawPointer(found) - start)
    }
  }
}
