public import SluiceShared

/// What a batch did to one row of an ordinary table, by itself, by a trigger or by a foreign key's action.
public struct RowChange: Hashable, Sendable {
  public enum Kind: String, Sendable { case insert, update, delete }

  public struct Column: Hashable, Sendable {
    public var name: String
    public var value: SQLValue

    public init(_ name: String, _ value: SQLValue) {
      self.name = name
      self.value = value
    }
  }

  public var kind: Kind
  public var table: String
  /// Of the row after the change, or that was deleted; nil in a table without rowids.
  public var rowID: Int64?
  /// Of the row before an update, where it is another one.
  public var oldRowID: Int64?
  /// The row before: of an update and a deletion. Without generated columns that are not stored.
  public var old: [Column]?
  /// The row after: of an insertion and an update.
  public var new: [Column]?
}
