/// A batch's place in the total order: 1, 2, 3 … without gaps, whatever its outcome. 0 is "before
/// the first batch".
public struct TxID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
  public static func < (a: TxID, b: TxID) -> Bool { a.rawValue < b.rawValue }
  public static let zero = TxID(0)
  public var next: TxID { TxID(rawValue + 1) }
  public func advanced(by count: UInt64) -> TxID { TxID(rawValue + count) }
  public var description: String { String(rawValue) }
}

/// A batch's place in its writer's order, from 1. Never used for another content.
public struct SequenceNumber: RawRepresentable, Hashable, Comparable, Sendable,
  CustomStringConvertible
{
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
  public static func < (a: SequenceNumber, b: SequenceNumber) -> Bool { a.rawValue < b.rawValue }
  public var next: SequenceNumber { SequenceNumber(rawValue + 1) }
  public func advanced(by count: UInt64) -> SequenceNumber { SequenceNumber(rawValue + count) }
  public var description: String { String(rawValue) }
}

/// A time-ordered 128-bit identifier (UUID version 7 where it names a writer), compared as bytes.
public struct Identifier128: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let high: UInt64
  public let low: UInt64

  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then random bits.
  package init(time_ms: Int64, random: () -> UInt64) {
    let time = UInt64(max(0, time_ms)) & 0xFFFF_FFFF_FFFF
    high = time << 16 | 0x7000 | (random() & 0x0FFF)
    low = 0x8000_0000_0000_0000 | (random() >> 2)
  }

  /// The Unix milliseconds in a UUIDv7.
  public var time_ms: Int64 { Int64(high >> 16) }

  public static func < (a: Self, b: Self) -> Bool { (a.high, a.low) < (b.high, b.low) }

  /// 8-4-4-4-12 lower-case hexadecimal digits.
  public var description: String {
    let digits = hexadecimal(high, width: 16) + hexadecimal(low, width: 16)
    var text = ""
    for (i, c) in digits.enumerated() {
      if i == 8 || i == 12 || i == 16 || i == 20 { text.append("-") }
      text.append(c)
    }
    return text
  }

  /// Reads exactly what `description` writes; anything else is nil.
  public init?(_ text: some StringProtocol) {
    guard text.utf8.count == 36 else { return nil }
    var value: (UInt64, UInt64) = (0, 0)
    for (i, c) in text.utf8.enumerated() {
      if i == 8 || i == 13 || i == 18 || i == 23 {
        guard c == UInt8(ascii: "-") else { return nil }
        continue
      }
      let digit: UInt8
      switch c {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = c - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = c - UInt8(ascii: "a") + 10
      default: return nil
      }
      value.0 = value.0 << 4 | value.1 >> 60
      value.1 = value.1 << 4 | UInt64(digit)
    }
    (high, low) = value
  }
}

/// One process's handle on the journal; time-ordered, bound to the process that made it.
public typealias WriterID = Identifier128
/// A store's identity, made by `init`, in every file of the store.
public typealias StoreID = Identifier128

/// One batch, as its writer names it.
public struct BatchID: Hashable, Sendable, CustomStringConvertible {
  public let writer: WriterID
  public let sequence: SequenceNumber
  public init(writer: WriterID, sequence: SequenceNumber) {
    self.writer = writer
    self.sequence = sequence
  }
  public var description: String { "\(writer)#\(sequence)" }
}

/// `value` in hexadecimal, padded with zeros to `width` digits.
package func hexadecimal(_ value: some BinaryInteger, width: Int) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: max(0, width - digits.count)) + digits
}

/// `value` in decimal, padded with zeros to `width` digits.
package func padded(_ value: some BinaryInteger, width: Int) -> String {
  let digits = String(value)
  return String(repeating: "0", count: max(0, width - digits.count)) + digits
}
