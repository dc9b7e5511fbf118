/// A JSON object on one line; its members come in the order in which they are added.
package struct JSONObject {
  private var members = ""

  package init() {}

  package mutating func add(_ name: String, _ value: String) {
    begin(name)
    JSON.append(quoting: value, to: &members)
  }

  package mutating func add(_ name: String, _ value: some BinaryInteger) {
    begin(name)
    members += String(value)
  }

  package mutating func add(_ name: String, _ value: Bool) {
    begin(name)
    members += value ? "true" : "false"
  }

  package mutating func add(_ name: String, _ value: JSONObject) {
    begin(name)
    members += value.text
  }

  package mutating func add(_ name: String, _ value: SQLValue) {
    begin(name)
    JSON.append(value, to: &members)
  }

  package mutating func addNull(_ name: String) {
    begin(name)
    members += "null"
  }

  package mutating func add(_ name: String, _ rows: [[SQLValue]]) {
    begin(name)
    JSON.append(rows, to: &members)
  }

  /// `values` are JSON already.
  package mutating func add(_ name: String, _ values: [String]) {
    begin(name)
    members += "[\(values.joined(separator: ", "))]"
  }

  package var text: String { "{\(members)}" }

  private mutating func begin(_ name: String) {
    if !members.isEmpty { members += ", " }
    JSON.append(quoting: name, to: &members)
    members += ": "
  }
}
