/// A profile of AWS's configuration files: `config` and `credentials`, where the latter wins.
struct Profile: Hashable, Sendable {
  let name: String
  /// False where neither file has it.
  let exists: Bool
  private let settings: [String: String]

  init(_ name: String, config: String?, credentials: String?) {
    self.name = name
    let inConfig = config.flatMap {
      Profile.section(of: $0) { $0 == "profile \(name)" || name == "default" && $0 == name }
    }
    let inCredentials = credentials.flatMap { Profile.section(of: $0) { $0 == name } }
    exists = inConfig != nil || inCredentials != nil
    settings = (inConfig ?? [:]).merging(inCredentials ?? [:]) { $1 }
  }

  subscript(_ setting: String) -> String? { settings[setting].flatMap { $0.isEmpty ? nil : $0 } }

  /// The settings in sections whose name is right; nil where there is none.
  private static func section(of text: String, where isWanted: (String) -> Bool) -> [String:
    String]?
  {
    var found: [String: String]?
    var isInside = false
    for line in text.split(whereSeparator: \.isNewline) {
      let line = line.trimmed
      if line.isEmpty || line.hasPrefix("#") || line.hasPrefix(";") { continue }
      if line.hasPrefix("["), let end = line.firstIndex(of: "]") {
        let words = line[line.index(after: line.startIndex)..<end].split(separator: " ")
        isInside = isWanted(words.joined(separator: " "))
        if isInside, found == nil { found = [:] }
      } else if isInside, let equals = line.firstIndex(of: "=") {
        let name = String(line[..<equals].trimmed).lowercased()
        found?[name] = String(line[line.index(after: equals)...].trimmed)
      }
    }
    return found
  }
}

extension StringProtocol {
  /// Without white space at both ends.
  var trimmed: SubSequence {
    let start = firstIndex { !$0.isWhitespace } ?? endIndex
    guard let last = lastIndex(where: { !$0.isWhitespace }), last >= start else {
      return self[endIndex...]
    }
    return self[start...last]
  }
}
