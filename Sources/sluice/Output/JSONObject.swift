import SluiceShared

/// A JSON object on one line; its members come in the order in which they are added.
struct JSONObject {
  private var members = ""

  mutating func add(_ name: String, _ value: String) {
    begin(name)
    JSON.append(quoting: value, to: &members)
  }

  mutating func add(_ name: String, _ value: some BinaryInteger) {
    begin(name)
    members += String(value)
  }

  mutating func add(_ name: String, _ value: JSONObject) {
    begin(name)
    members += value.text
  }

  mutating func add(_ name: String, _ rows: [[SQLValue]]) {
    begin(name)
    JSON.append(rows, to: &members)
  }

  /// `values` are JSON already.
  mutating func add(_ name: String, _ values: [String]) {
    begin(name)
    members += "[\(values.joined(separator: ", "))]"
  }

  var text: String { "{\(members)}" }

  private mutating func begin(_ name: String) {
    if !members.isEmpty { members += ", " }
    JSON.append(quoting: name, to: &members)
    members += ": "
  }
}
