internal import CSystem

/// CRC-32C (Castagnoli), continued from `crc`; start with 0.
@inlinable
package func crc32c(_ bytes: UnsafeRawBufferPointer, continuing crc: UInt32 = 0) -> UInt32 {
  crc32cOf(bytes.baseAddress, bytes.count, crc)
}

@usableFromInline
func crc32cOf(_ base: UnsafeRawPointer?, _ count: Int, _ crc: UInt32) -> UInt32 {
  guard let base else { return crc }
  return csystem_crc32c(crc, base, count)
}

package func crc32c(_ bytes: [UInt8], continuing crc: UInt32 = 0) -> UInt32 {
  bytes.withUnsafeBytes { crc32c($0, continuing: crc) }
}

/// The checksum of a whole database, kept incrementally: XOR over all pages of a mix of page number
/// and page checksum. The page that holds SQLite's lock byte (at 1 GiB) is never written and does
/// not count.
package struct DatabaseChecksum: Hashable, Sendable, CustomStringConvertible {
  package private(set) var value: UInt64

  package init(_ value: UInt64 = 0) { self.value = value }

  /// Adds a page that was not counted, or takes out one that was.
  package mutating func toggle(page: UInt32, crc: UInt32) {
    value ^= DatabaseChecksum.mix(UInt64(page) << 32 | UInt64(crc))
  }

  /// Adds all pages of another part of the database.
  package mutating func toggle(_ part: DatabaseChecksum) { value ^= part.value }

  /// The page with SQLite's lock byte, for a page size; it has no content.
  package static func lockBytePage(pageSize: Int) -> UInt32 {
    UInt32(0x4000_0000 / pageSize) + 1
  }

  /// splitmix64's finalizer.
  static func mix(_ x: UInt64) -> UInt64 {
    var z = x &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  package var description: String { hexadecimal(value, width: 16) }
}
