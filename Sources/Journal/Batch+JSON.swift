package import SluiceShared

// {"id": "key", "statements": [STATEMENT…], "guards": [STATEMENT…], "results": true, "unlisted": true}
//
// Only "statements" is required. A STATEMENT is one of
//   ["SQL"]   ["SQL", [VALUE…]]   {"sql": "SQL", "rows": [[VALUE…]…]}
// and a VALUE is null, 1 (an integer), 1.0 or 1e0 (a real), "text", {"base64": "…"} (a blob), true
// or false (1 and 0, as SQLite has it). A member with another name is refused: it would be a
// misspelled "id" or "guards", and the batch would do what nobody asked for.

extension Batch {
  /// The members that a batch has.
  package static let members = ["id", "statements", "guards", "results", "unlisted"]

  /// Reads one batch. Throws what is wrong and in which statement, row and parameter; limits are
  /// left to `encoded()`.
  package init(json: JSON) throws(DecodingError) {
    guard case .object(let members) = json else {
      throw DecodingError("a batch is an object with \"statements\", this is \(json.kind)")
    }
    try members.requireOnly(Batch.members, in: "a batch")
    guard let statements = members["statements"] else {
      throw DecodingError("\"statements\" is missing; write {\"statements\": [[\"SQL\"]]}")
    }
    self.init(
      try Batch.statements(statements, member: "statements", each: "statement"),
      key: try Batch.key(members["id"]),
      guards: try members["guards"].map { json throws(DecodingError) in
        try Batch.statements(json, member: "guards", each: "guard")
      } ?? [],
      wantsResults: try Batch.flag("results", members),
      isUnlisted: try Batch.flag("unlisted", members))
  }

  private static func statements(_ json: JSON, member: String, each: String)
    throws(DecodingError) -> [Statement]
  {
    guard case .array(let elements) = json else {
      throw DecodingError("\"\(member)\" is an array of statements, this is \(json.kind)")
    }
    return try elements.decode(each, Statement.init(json:))
  }

  private static func key(_ json: JSON?) throws(DecodingError) -> String? {
    guard let json else { return nil }
    guard let key = json.string else {
      throw DecodingError("\"id\" is a string, this is \(json.kind); leave it out for none")
    }
    return key
  }

  private static func flag(_ name: String, _ members: [String: JSON]) throws(DecodingError) -> Bool
  {
    guard let json = members[name] else { return false }
    guard let flag = json.bool else {
      throw DecodingError("\"\(name)\" is true or false, this is \(json.kind)")
    }
    return flag
  }
}

extension Batch.Statement {
  package init(json: JSON) throws(DecodingError) {
    switch json {
    case .array(let elements) where elements.count == 1:
      self.init(try Self.sql(elements[0]))
    case .array(let elements) where elements.count == 2:
      self.init(try Self.sql(elements[0]), try Self.parameters(elements[1]))
    case .object(let members):
      try members.requireOnly(["sql", "rows"], in: "a statement")
      guard let sql = members["sql"] else { throw DecodingError("\"sql\" is missing") }
      guard case .array(let rows)? = members["rows"] else {
        throw DecodingError("\"rows\" is missing or no array; write \"rows\": [[1, \"a\"]]")
      }
      self.init(try Self.sql(sql), rows: try rows.decode("row", Self.parameters))
    default:
      throw DecodingError(
        "a statement is [\"SQL\"], [\"SQL\", [parameters]] or {\"sql\": …, \"rows\": […]}, "
          + "this is \(json.kind)")
    }
  }

  private static func sql(_ json: JSON) throws(DecodingError) -> String {
    guard let sql = json.string else {
      throw DecodingError("the SQL text is a string, this is \(json.kind)")
    }
    // SQLite would stop there and leave out the rest without a word.
    guard !sql.utf8.contains(0) else {
      throw DecodingError("the SQL text has a NUL character; pass such a text as a parameter")
    }
    return sql
  }

  private static func parameters(_ json: JSON) throws(DecodingError) -> [SQLValue] {
    guard case .array(let values) = json else {
      throw DecodingError("parameters are an array, this is \(json.kind); write [1, \"a\"]")
    }
    return try values.decode("parameter", SQLValue.init(json:))
  }
}

extension SQLValue {
  package init(json: JSON) throws(DecodingError) {
    switch json {
    case .null: self = .null
    case .bool(let flag): self = .integer(flag ? 1 : 0)
    case .integer(let number): self = .integer(number)
    case .real(let number): self = .real(number)
    case .string(let text): self = .text(text)
    case .object(let members):
      guard members.count == 1, let base64 = members["base64"]?.string else {
        throw DecodingError(
          "the only object that is a value is {\"base64\": \"…\"}; pass JSON as a string")
      }
      self = .blob(try Base64.decode(base64))
    case .array: throw DecodingError("an array is no SQL value; pass JSON as a string")
    }
  }
}

extension [String: JSON] {
  package func requireOnly(_ known: [String], in what: String) throws(DecodingError) {
    let unknown = keys.filter { !known.contains($0) }.sorted()
    guard unknown.isEmpty else {
      throw DecodingError(
        "unknown member \(unknown.quotedList); \(what) has only \(known.quotedList)")
    }
  }
}

extension [String] {
  fileprivate var quotedList: String { map { "\"\($0)\"" }.joined(separator: ", ") }
}

extension [JSON] {
  /// Each element through `decode`; an error begins with `name` and the element's number, from 1.
  fileprivate func decode<T>(_ name: String, _ decode: (JSON) throws(DecodingError) -> T)
    throws(DecodingError) -> [T]
  {
    var result: [T] = []
    result.reserveCapacity(count)
    for (i, element) in enumerated() {
      do throws(DecodingError) { result.append(try decode(element)) } catch {
        throw DecodingError("\(name) \(i + 1): \(error)")
      }
    }
    return result
  }
}

extension JSON {
  /// What it is, for messages.
  fileprivate var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .integer, .real: "a number"
    case .string: "a string"
    case .array(let elements): "an array of \(elements.count)"
    case .object: "an object"
    }
  }
}
