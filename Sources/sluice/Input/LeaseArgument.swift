import ArgumentParser
import SluiceJournal

/// The value of `--lease`.
enum LeaseArgument {
  static func kind(_ text: String) throws -> StoreDescription.LeaseKind {
    let kind = StoreDescription.LeaseKind(text)
    if case .dynamodb(let table) = kind, !isTable(table) { throw refused }
    guard let kind else { throw refused }
    return kind
  }

  private static let refused = ValidationError(
    "--lease is file or dynamodb:TABLE, where a table's name has 3 to 255 letters, digits and _-.")

  /// DynamoDB's rule for the names of tables.
  private static func isTable(_ name: String) -> Bool {
    (3...255).contains(name.utf8.count)
      && name.utf8.allSatisfy { byte in
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
          || (0x61...0x7A).contains(byte) || "_-.".utf8.contains(byte)
      }
  }
}
