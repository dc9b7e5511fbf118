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

extension String {
  /// As a word of a command line that can be copied into a shell.
  var quotedForShell: String {
    let isPlain = { (byte: UInt8) in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...:
        true
      default: "-_./:=@%+,".utf8.contains(byte)
      }
    }
    guard isEmpty || !utf8.allSatisfy(isPlain) else { return self }
    return "'" + split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
      + "'"
  }
}
