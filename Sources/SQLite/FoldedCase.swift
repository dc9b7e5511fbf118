extension String {
  /// With A to Z as a to z, and nothing else changed: so SQLite compares names and types. Swift's `lowercased`
  /// and `uppercased` fold all of Unicode, and make INT of "\u{131}nt".
  package var foldedCase: String {
    String(decoding: utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
  }
}
