import Foundation

/// A file of this repository, as the house rules see it.
struct SourceFile {
  /// From the repository's root.
  let path: String
  let lines: [String]
  /// The lines without comments and without what strings say.
  let code: [String]

  init(path: String, text: String) {
    self.path = path
    lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      .dropLast(text.hasSuffix("\n") ? 1 : 0)
    code = Self.code(of: text).split(separator: "\n", omittingEmptySubsequences: false)
      .map(String.init)
  }

  static let root: String = {
    var url = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { url.deleteLastPathComponent() }
    return url.path
  }()

  /// All that lie in some folders and end so.
  static func all(in folders: [String], _ endings: [String]) throws -> [SourceFile] {
    var found: [SourceFile] = []
    for folder in folders {
      let paths = FileManager.default.enumerator(atPath: "\(root)/\(folder)")
      for case let path as String in paths ?? .init()
      where endings.contains(where: { path.hasSuffix(".\($0)") }) {
        let name = "\(folder)/\(path)"
        let text = try String(contentsOfFile: "\(root)/\(name)", encoding: .utf8)
        found.append(SourceFile(path: name, text: text))
      }
    }
    return found.sorted { $0.path < $1.path }
  }

  /// Swift with blanks in place of comments and of what strings say; their interpolations go too.
  static func code(of text: String) -> String {
    var out: [UInt8] = []
    let bytes = Array(text.utf8)
    out.reserveCapacity(bytes.count)
    var i = 0
    func starts(_ sign: String, at place: Int) -> Bool { bytes[place...].starts(with: sign.utf8) }
    /// Passes a string that begins at `i`, with all that is interpolated.
    func passString() {
      let isLong = starts("\"\"\"", at: i)
      i += isLong ? 3 : 1
      while i < bytes.count, !(isLong ? starts("\"\"\"", at: i) : bytes[i] == UInt8(ascii: "\"")) {
        if bytes[i] == UInt8(ascii: "\n") { out.append(bytes[i]) }
        guard bytes[i] == UInt8(ascii: "\\") else {
          i += 1
          continue
        }
        i += 2
        guard i <= bytes.count else { break }
        if bytes[i - 1] == UInt8(ascii: "\n") { out.append(bytes[i - 1]) }
        guard bytes[i - 1] == UInt8(ascii: "(") else { continue }
        var depth = 1
        while i < bytes.count, depth > 0 {
          switch bytes[i] {
          case UInt8(ascii: "("): depth += 1
          case UInt8(ascii: ")"): depth -= 1
          case UInt8(ascii: "\""):
            passString()
            continue
          default: break
          }
          i += 1
        }
      }
      i += isLong ? 3 : 1
    }
    while i < bytes.count {
      if starts("//", at: i) {
        while i < bytes.count, bytes[i] != UInt8(ascii: "\n") { i += 1 }
      } else if bytes[i] == UInt8(ascii: "\"") {
        out.append(UInt8(ascii: " "))
        passString()
      } else {
        out.append(bytes[i])
        i += 1
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// Its functions with their lengths. What is formatted ends where a brace stands as far in as its
  /// declaration.
  var functions: [(name: String, lines: Int)] {
    let declaration = #/^( *)(?:[a-z@][A-Za-z()@ ]* )?(func |init[?(<]|deinit|subscript\()(.*)$/#
    var found: [(String, Int)] = []
    for (start, line) in code.enumerated() {
      guard let match = line.wholeMatch(of: declaration) else { continue }
      let end = "\(match.1)}"
      // A declaration on one line, or one without a body, has no brace of its own.
      guard !line.hasSuffix("}"),
        line.hasSuffix("{") || code.dropFirst(start + 1).prefix(6).contains("\(match.1){"),
        let length = code[start...].firstIndex(where: { $0.hasPrefix(end) })
      else { continue }
      let name = match.2 + match.3.prefix { $0.isLetter || $0.isNumber || $0 == "_" }
      found.append((String(name), length - start + 1))
    }
    return found
  }
}
