import ArgumentParser
import SluiceJournal
import SluiceShared

/// `--transactions all|none|uid:N,…|gid:N,…`
enum TransactionsArgument {
  static func right(_ text: String) throws -> TransactionRight {
    guard let right = TransactionRight(text) else {
      throw ValidationError(
        "--transactions is all, none, uid: or gid:, and behind these up to \(Limits.idsWithTransactions) numbers with commas between them"
      )
    }
    return right
  }
}
