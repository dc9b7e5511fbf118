import SluiceJournal

/// The statement that a rejection is about, and where a script has it: `statement 5: near "limit":
/// syntax error (at byte 49 of the statement)` is of line 11.
struct StatementPlace {
  /// What is wrong, without the statement's number in the batch.
  let message: String
  let input: String
  let line: Int
  /// How the statement begins.
  let text: String

  private static let textCharacters = 70

  /// Nil for what is no script, and where the rejection names no statement of it.
  init?(_ rejection: Outcome.Rejection, in batch: InputBatch) {
    let prefix = "statement "
    guard rejection.message.hasPrefix(prefix),
      let colon = rejection.message.firstIndex(of: ":"),
      let number = Int(rejection.message.dropFirst(prefix.count)[..<colon]),
      batch.statementLines.indices.contains(number - 1),
      batch.batch.statements.indices.contains(number - 1)
    else { return nil }
    let statement = batch.batch.statements[number - 1]
    var message = rejection.message[rejection.message.index(after: colon)...].drop { $0 == " " }
    var line = batch.statementLines[number - 1]
    if let byte = StatementPlace.takeByte(&message), statement.rows == [[]] {
      line += statement.sql.utf8.prefix(byte).count { $0 == UInt8(ascii: "\n") }
    }
    self.message = String(message)
    self.line = line
    input = batch.input
    text = StatementPlace.beginning(of: statement.sql)
  }

  /// Takes ` (at byte N of the statement)` off the end.
  private static func takeByte(_ message: inout Substring) -> Int? {
    let (before, after) = (" (at byte ", " of the statement)")
    guard message.hasSuffix(after) else { return nil }
    let digits = message.dropLast(after.count).reversed().prefix { $0.isNumber }.reversed()
    let rest = message.dropLast(after.count + digits.count)
    guard rest.hasSuffix(before), let byte = Int(String(digits)) else { return nil }
    message = rest.dropLast(before.count)
    return byte
  }

  private static func beginning(of sql: String) -> String {
    let words = sql.prefix(4 * textCharacters).split(whereSeparator: \.isWhitespace)
    let text = words.joined(separator: " ")
    return text.count > textCharacters || sql.count > 4 * textCharacters
      ? text.prefix(textCharacters) + "…" : text
  }

  var description: String { "\(input), line \(line): \(text)" }
}
