internal import Glibc

/// A text that is equal to another only byte for byte, as SQL, paths and keys are. Swift's `String`
/// takes canonically equivalent texts for equal: "é" in one scalar and in two.
public struct ExactText: Hashable, Sendable {
  public let text: String

  public init(_ text: String) { self.text = text }

  public static func == (a: ExactText, b: ExactText) -> Bool {
    guard a.text.utf8.count == b.text.utf8.count else { return false }
    // Of native strings the comparison of whole memory is many times faster.
    let isSame = a.text.utf8.withContiguousStorageIfAvailable { a in
      b.text.utf8.withContiguousStorageIfAvailable { b in
        guard let a = a.baseAddress, let other = b.baseAddress else { return b.isEmpty }
        return memcmp(a, other, b.count) == 0
      }
    }
    return (isSame ?? nil) ?? a.text.utf8.elementsEqual(b.text.utf8)
  }

  public func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}
