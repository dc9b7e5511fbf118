import SluiceEdits
import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared
import Testing

@testable import SluiceApplier

/// A store whose interactive transactions one feed of rows follows.
final class FedStore {
  let store: TestStore
  private let feed: RowFeed
  /// Pages that the last transaction sent.
  private(set) var sent = 0
  private(set) var last: RowFeed.Entry?
  /// Why the last one was not applied.
  private(set) var refusal = ""

  /// `pageSize` 512: few rows make deep trees.
  init(pageSize: Int = 4096, _ statements: String...) throws {
    var creation = StoreCreation()
    creation.pageSize = pageSize
    store = try TestStore(creation)
    for statement in statements { try store.apply(statement) }
    feed = try RowFeed(
      path: store.path, from: try store.present().extent.txid.next,
      environment: store.environment)
  }

  func edited() throws -> EditedSnapshot {
    try EditedSnapshot(
      try PageStore(path: store.path, environment: store.environment).snapshot(.latest))
  }

  /// Commits it, and returns what is told of it.
  func submit(_ edited: EditedSnapshot) throws -> RowFeed.Entry? {
    let batch = try edited.batch()
    sent = batch.changed
    let outcome = try store.apply([Batch(.commit(batch))])[0]
    last = nil
    try feed.advance { self.last = $0 }
    refusal = outcome.isApplied ? "" : "\(outcome)"
    return outcome.isApplied ? last : nil
  }

  /// What is told of `sql` as one transaction: put to the rows before it, that must give the rows behind it.
  /// `keepsColumns`: it changes no table's columns.
  @discardableResult
  func commit(
    _ sql: String, keepsColumns: Bool = true, at place: SourceLocation = #_sourceLocation
  ) throws -> [RowChange] {
    let edited = try edited()
    let before = try TableContents(edited.connection)
    try edited.execute(sql)
    let behind = try TableContents(edited.connection)
    try edited.take()
    // What changes no page is not sent.
    guard try edited.pages.first != .some(edited.snapshot.firstPage()) else {
      #expect(before.rows == behind.rows, sourceLocation: place)
      return []
    }
    let entry = try #require(try submit(edited), "\(refusal)", sourceLocation: place)
    let changes = try #require(
      entry.changes, "\(entry.untold ?? "")", sourceLocation: place)
    guard keepsColumns else { return changes }
    let made = before.applying(changes, behind, at: place)
    #expect(made == behind.rows, "\(sql)", sourceLocation: place)
    return changes
  }

  /// In short: `t+1` was inserted, `t~2` updated, `t-3` deleted.
  func told(_ sql: String, keepsColumns: Bool = true, at place: SourceLocation = #_sourceLocation)
    throws -> [String]
  {
    try commit(sql, keepsColumns: keepsColumns, at: place).map(Self.short)
  }

  static func short(_ change: RowChange) -> String {
    let sign = [RowChange.Kind.insert: "+", .update: "~", .delete: "-"][change.kind] ?? "?"
    return "\(change.table)\(sign)\(change.rowID.map { "\($0)" } ?? "")"
  }
}

/// All rows of all ordinary tables but Sluice's own.
struct TableContents {
  struct Key: Hashable {
    var table: String
    var key: [SQLValue]
  }

  private(set) var rows: [Key: [RowChange.Column]] = [:]
  /// The columns of the key of each table without rowids; of others none.
  private var keys: [String: [String]] = [:]
  /// Of the virtual tables that tests make.
  private static let shadows = [
    "_data", "_idx", "_content", "_docsize", "_config", "_node", "_parent", "_rowid",
  ]

  init(_ connection: Connection) throws {
    for row in try connection.query(
      "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    {
      guard case .text(let name) = row[0], !name.hasPrefix("sqlite_"), !name.hasPrefix("_sluice_")
      else { continue }
      guard !Self.shadows.contains(where: name.hasSuffix) else { continue }
      let columns = try connection.query(
        "SELECT name, pk FROM pragma_table_xinfo(?) WHERE hidden <> 2", [.text(name)])
      let names = columns.compactMap { if case .text(let name) = $0[0] { name } else { nil } }
      let key = zip(names, columns).filter { $0.1[1] != 0 }.map(\.0)
      keys[name] = row[1] == 1 ? key : []
      let number = row[1] == 1 ? "NULL" : "rowid"
      for row in try connection.query(
        "SELECT \(number), \(names.map(quoted).joined(separator: ", ")) FROM main.\(quoted(name))")
      {
        let values = zip(names, row.dropFirst()).map { RowChange.Column($0, $1) }
        rows[Self.key(name, row[0], values, keys[name] ?? [])] = values
      }
    }
  }

  private static func key(
    _ table: String, _ number: SQLValue, _ columns: [RowChange.Column], _ key: [String]
  ) -> Key {
    let values = columns.filter { key.contains($0.name) }.map(\.value)
    return Key(table: table, key: key.isEmpty ? [number] : values)
  }

  /// The rows, with changes put to them that lead to `behind`.
  func applying(
    _ changes: [RowChange], _ behind: TableContents, at place: SourceLocation
  ) -> [Key: [RowChange.Column]] {
    var made = rows.filter { behind.keys[$0.key.table] != nil }
    var earlier: RowChange?
    for change in changes {
      let number = change.rowID.map { SQLValue.integer($0) } ?? .null
      #expect(change.oldRowID == nil, sourceLocation: place)
      if let old = change.old {
        let key = Self.key(change.table, number, old, keys[change.table] ?? [])
        #expect(made.removeValue(forKey: key) == old, "\(change)", sourceLocation: place)
      }
      if let new = change.new {
        let key = Self.key(change.table, number, new, behind.keys[change.table] ?? [])
        #expect(made.updateValue(new, forKey: key) == nil, "\(change)", sourceLocation: place)
      }
      #expect(change.old != change.new, "\(change)", sourceLocation: place)
      if let earlier {
        #expect(earlier.table <= change.table, sourceLocation: place)
        if earlier.table == change.table, let a = earlier.rowID, let b = change.rowID {
          #expect(a < b, sourceLocation: place)
        }
      }
      earlier = change
    }
    return made
  }
}
