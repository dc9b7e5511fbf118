extension JSON {
  /// As text, on one line; parsed again it is the same value.
  package var text: String {
    var line = ""
    append(to: &line)
    return line
  }

  private func append(to line: inout String) {
    switch self {
    case .null: line += "null"
    case .bool(let flag): line += flag ? "true" : "false"
    case .integer(let number): line += "\(number)"
    case .real(let number): line += "\(number)"
    case .string(let text): JSON.append(quoting: text, to: &line)
    case .array(let elements):
      line += "["
      for (i, element) in elements.enumerated() {
        if i > 0 { line += ", " }
        element.append(to: &line)
      }
      line += "]"
    case .object(let members):
      line += "{"
      for (i, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
        if i > 0 { line += ", " }
        JSON.append(quoting: member.key, to: &line)
        line += ": "
        member.value.append(to: &line)
      }
      line += "}"
    }
  }
}
