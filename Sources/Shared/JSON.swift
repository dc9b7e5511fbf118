internal import CJansson

/// A JSON value as it was written: 1 is an integer, 1.0 and 1e3 are reals (Jansson keeps the
/// difference; Foundation's decoder does not).
package enum JSON: Hashable, Sendable {
  case null
  case bool(Bool)
  case integer(Int64)
  case real(Double)
  case string(String)
  case array([JSON])
  case object([String: JSON])

  /// Parses exactly one value of at most 64 levels. A number over 64 bits, a repeated name, or
  /// anything after the value is an error that says where.
  package static func parse(_ text: UnsafeRawBufferPointer) throws(DecodingError) -> JSON {
    let flags = Int(JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL)
    var error = json_error_t()
    let root = json_loadb(
      text.baseAddress?.assumingMemoryBound(to: CChar.self), text.count, flags, &error)
    guard let root else {
      let reason = withUnsafePointer(to: &error.text) {
        $0.withMemoryRebound(to: CChar.self, capacity: 160) { String(cString: $0) }
      }
      throw DecodingError("\(reason), column \(error.column)")
    }
    defer { cjansson_release(root) }
    return try JSON(root, depth: 0)
  }

  package static func parse(_ text: String) throws(DecodingError) -> JSON {
    let bytes = Array(text.utf8)
    var result: Result<JSON, DecodingError> = .failure(DecodingError("empty"))
    bytes.withUnsafeBytes { raw in
      do throws(DecodingError) { result = .success(try parse(raw)) } catch {
        result = .failure(error)
      }
    }
    return try result.get()
  }

  private init(_ value: UnsafeMutablePointer<json_t>, depth: Int) throws(DecodingError) {
    guard depth < 64 else { throw DecodingError("nested deeper than 64 levels") }
    switch json_type(UInt32(cjansson_type(value))) {
    case JSON_NULL: self = .null
    case JSON_TRUE: self = .bool(true)
    case JSON_FALSE: self = .bool(false)
    case JSON_INTEGER: self = .integer(json_integer_value(value))
    case JSON_REAL: self = .real(json_real_value(value))
    case JSON_STRING: self = .string(JSON.text(json_string_value(value), json_string_length(value)))
    case JSON_ARRAY:
      var elements: [JSON] = []
      elements.reserveCapacity(json_array_size(value))
      for i in 0..<json_array_size(value) {
        elements.append(try JSON(json_array_get(value, i), depth: depth + 1))
      }
      self = .array(elements)
    default:
      var members: [String: JSON] = [:]
      var iterator = json_object_iter(value)
      while let current = iterator {
        let name = String(cString: json_object_iter_key(current))
        members[name] = try JSON(json_object_iter_value(current), depth: depth + 1)
        iterator = json_object_iter_next(value, current)
      }
      self = .object(members)
    }
  }

  private static func text(_ base: UnsafePointer<CChar>?, _ count: Int) -> String {
    String(decoding: UnsafeRawBufferPointer(start: base, count: count), as: UTF8.self)
  }

  package subscript(name: String) -> JSON? {
    if case .object(let members) = self { members[name] } else { nil }
  }
  package var string: String? { if case .string(let text) = self { text } else { nil } }
  package var integer: Int64? { if case .integer(let number) = self { number } else { nil } }
  package var bool: Bool? { if case .bool(let flag) = self { flag } else { nil } }

  /// Appends `text` as a JSON string, quotes included.
  package static func append(quoting text: some StringProtocol, to line: inout String) {
    line.append("\"")
    // Nearly all is plain, and then all of it goes at once.
    guard text.utf8.contains(where: { $0 < 0x20 || $0 == 0x22 || $0 == 0x5C }) else {
      line.append(contentsOf: text)
      return line.append("\"")
    }
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": line.append("\\\"")
      case "\\": line.append("\\\\")
      case "\n": line.append("\\n")
      case "\r": line.append("\\r")
      case "\t": line.append("\\t")
      case _ where scalar.value < 0x20:
        line.append("\\u" + hexadecimal(scalar.value, width: 4))
      default: line.unicodeScalars.append(scalar)
      }
    }
    line.append("\"")
  }
}
