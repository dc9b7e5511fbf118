internal import SluiceShared

/// Who may commit interactive transactions: their pages pass by what SQL in a batch may not do.
///
/// It is a right beside that of writing to the journal, and goes by whom a journal file belongs to.
public enum TransactionRight: Hashable, Sendable, CustomStringConvertible {
  /// Who may write to the journal.
  case all
  case none
  /// Whose journal files belong to one of these users.
  case users([UInt32])
  /// Whose journal files have one of these groups.
  case groups([UInt32])

  private static let users = "uid:"
  private static let groups = "gid:"

  /// `all`, `none`, `uid:N,…` or `gid:N,…`; nil for anything else.
  public init?(_ text: String) {
    switch text {
    case "all": self = .all
    case "none": self = .none
    default:
      guard let kind = [Self.users, Self.groups].first(where: { text.hasPrefix($0) }) else {
        return nil
      }
      let numbers = text.dropFirst(kind.utf8.count)
        .split(separator: ",", omittingEmptySubsequences: false)
      let ids = numbers.compactMap { UInt32($0) }
      guard ids.count == numbers.count, ids.count <= Limits.idsWithTransactions else { return nil }
      self = kind == Self.users ? .users(ids) : .groups(ids)
    }
  }

  public var description: String {
    switch self {
    case .all: "all"
    case .none: "none"
    case .users(let ids): Self.users + ids.map { "\($0)" }.joined(separator: ",")
    case .groups(let ids): Self.groups + ids.map { "\($0)" }.joined(separator: ",")
    }
  }

  /// Whether it is the right of whom a journal file belongs to that has this owner and this group.
  package func includes(owner: UInt32, group: UInt32) -> Bool {
    switch self {
    case .all: true
    case .none: false
    case .users(let ids): ids.contains(owner)
    case .groups(let ids): ids.contains(group)
    }
  }
}
