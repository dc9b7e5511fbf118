extension UnsafeRawBufferPointer {
  /// Whether the bytes are UTF-8, in which case a `String` of them has the same ones.
  package var isUTF8: Bool {
    allSatisfy { $0 < 0x80 } || String(validating: self, as: UTF8.self) != nil
  }
}
