/// A text that is equal to another only byte for byte, as SQL, paths and keys are. Swift's `String`
/// takes canonically equivalent texts for equal: "é" in one scalar and in two.
public struct ExactText: Hashable, Sendable {
  private let text: String

  public init(_ text: String) { self.text = text }

  public static func == (a: ExactText, b: ExactText) -> Bool {
    a.text.utf8.elementsEqual(b.text.utf8)
  }

  public func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}
