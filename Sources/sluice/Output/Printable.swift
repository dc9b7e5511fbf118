extension String {
  /// The text with control characters escaped (`\n`, `\u{1B}`): it stays on its line and cannot
  /// command a terminal.
  var printable: String {
    guard unicodeScalars.contains(where: isControl) else { return self }
    var result = ""
    for scalar in unicodeScalars {
      if isControl(scalar) {
        result += scalar.escaped(asASCII: true)
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

private func isControl(_ scalar: UnicodeScalar) -> Bool {
  scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
}
