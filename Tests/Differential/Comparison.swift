import SluiceJournal
import SluiceShared

/// Where the queue and plain SQLite may rightly say different things of a batch.
enum Comparison {
  /// What is wrong with the queue's outcome; nil where nothing is.
  static func objection(to queue: Outcome, plain: Outcome) -> String? {
    switch (queue, plain) {
    case (.applied, .applied):
      return queue.encoded == plain.encoded ? nil : "it is applied otherwise"
    case (.duplicate(let a, let first), .duplicate(let b, let second)):
      guard a == b else { return "it repeats another batch" }
      return objection(to: first, plain: second)
    case (.rejected(let a), .rejected(let b)):
      return objection(to: a, plain: b)
    default: return "it ends otherwise"
    }
  }

  private static func objection(to queue: Outcome.Rejection, plain: Outcome.Rejection) -> String? {
    guard queue.code == plain.code else { return "it is rejected for another reason" }
    // Sluice's own rejections have sentences of their own.
    guard plain.code.hasPrefix("SQLITE_") else { return nil }
    // The largest key of AUTOINCREMENT is used: SQLite calls that a full database, Sluice explains it.
    if queue.code == "SQLITE_FULL", queue.message.hasPrefix(plain.message) { return nil }
    // Tables are looked at in the order of a hash table, and the first mistake is reported.
    let mismatch = "foreign key mismatch"
    if queue.message.contains(mismatch), plain.message.contains(mismatch) { return nil }
    // Of a long one the beginning is recorded.
    let message = String(
      decoding: plain.message.utf8.prefix(Limits.messageBytes), as: UTF8.self)
    return ExactText(queue.message) == ExactText(message)
      ? nil : "its rejection says something else"
  }
}
