/// The answer to a PRAGMA, as its reader gets it.
///
/// SQLite names the answer's column by the answer. Python's module `sqlite3` may have been told to take `[date]` in a
/// column's name for a conversion of its values (`PARSE_COLNAMES`). So no text in the JSON has a bracket.
struct PragmaAnswer {
  let text: String

  init(_ json: String) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(json.utf8.count)
    var isText = false
    var isEscaped = false
    for byte in json.utf8 {
      if isText, byte == UInt8(ascii: "[") {
        bytes += "\\u005b".utf8
      } else {
        bytes.append(byte)
      }
      if byte == UInt8(ascii: "\""), !isEscaped { isText.toggle() }
      isEscaped = isText && !isEscaped && byte == UInt8(ascii: "\\")
    }
    text = String(decoding: bytes, as: UTF8.self)
  }
}
