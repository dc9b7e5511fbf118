import SluiceSQLite
import SluiceShared

/// The content of a virtual table in a dump. `.dump` writes the tables in which it keeps its content,
/// and sqlite_schema by hand, which nothing but the sqlite3 shell can read back; here the table gets
/// its rows as it once got them.
struct VirtualTableDump {
  let name: String
  private let module: String
  private let source: any DumpSource
  private let columns: [String]
  private let content: Content
  private let hasConfiguration: Bool

  private enum Content {
    /// The rows, with their rowids where those are no column.
    case own(withRowID: Bool)
    /// Another table's, from which an index is built.
    case external
    /// Nothing is stored for it.
    case none
    /// An index of which nothing but itself is stored.
    case lost
  }

  /// Its content cannot be read back out of it, so that the dump makes it empty.
  var isLost: Bool { if case .lost = content { true } else { false } }

  /// Nil for an ordinary table.
  init?(_ name: String, _ sql: String, _ source: any DumpSource, shadows: Set<String>) throws {
    guard let module = VirtualTableDump.module(of: sql) else { return nil }
    self.name = name
    self.module = module
    self.source = source
    let isTextIndex = ["fts3", "fts4", "fts5"].contains(module)
    columns = try VirtualTableDump.columns(of: name, module, source)
    hasConfiguration = module == "fts5"
    if isTextIndex, !shadows.contains("\(name)_content") {
      let options = sql.filter { !$0.isWhitespace }.lowercased()
      let keepsNone = options.contains("content=''") || options.contains("content=\"\"")
      content = keepsNone ? .lost : .external
    } else if module == "rtree" || module == "rtree_i32" {
      content = .own(withRowID: false)
    } else {
      let isStored = shadows.contains { $0.hasPrefix("\(name)_") }
      content = isStored ? .own(withRowID: VirtualTableDump.hasRowID(name, source)) : .none
    }
  }

  /// A module may declare its tables WITHOUT ROWID, or with a column in its place, as sqlite-vec does.
  private static func hasRowID(_ table: String, _ source: any DumpSource) -> Bool {
    (try? source.withStatement("SELECT rowid FROM \(table.quotedForSQL)", []) { _ in }) != nil
  }

  /// What stands behind USING.
  private static func module(of sql: String) -> String? {
    var tokens = LeadingTokens(sql)
    guard tokens.keyword() == "create", tokens.keyword() == "virtual", tokens.keyword() == "table"
    else { return nil }
    var name = tokens.next()
    if name == "if" {
      _ = (tokens.next(), tokens.next())
      name = tokens.next()
    }
    // A quote in quotes is one token more.
    while let word = tokens.keyword(), word != "using" {}
    return tokens.next()
  }

  /// Those that a row is made of: of FTS3 and FTS4 also the hidden one for the language.
  private static func columns(of table: String, _ module: String, _ source: any DumpSource)
    throws -> [String]
  {
    let rows = try source.query(SchemaPragma.allColumns.text(of: table), [])
    return rows.compactMap { row in
      guard case .text(let name) = row[1], case .integer(let hidden) = row[6] else { return nil }
      if hidden == 0 { return name }
      let isLanguage =
        (module == "fts3" || module == "fts4") && hidden == 1 && name != table && name != "docid"
      return isLanguage ? name : nil
    }
  }

  func writeContent(to output: inout OutputFile) throws {
    let table = name.quotedForSQL
    if hasConfiguration {
      try DumpedRows(
        into: "\(table)(\(table),rank)",
        select: "SELECT k, v FROM \("\(name)_config".quotedForSQL) WHERE k <> 'version'"
      ).write(source, to: &output)
    }
    guard case .own(let withRowID) = content else { return }
    let names = ((withRowID ? ["rowid"] : []) + columns.map(\.quotedForSQL)).joined(separator: ",")
    try DumpedRows(into: "\(table)(\(names))", select: "SELECT \(names) FROM \(table)")
      .write(source, to: &output)
  }

  /// For when all tables and views are there.
  func writeRebuild(to output: inout OutputFile) throws {
    guard case .external = content else { return }
    let table = name.quotedForSQL
    try output.write("INSERT INTO \(table)(\(table)) VALUES('rebuild');\n")
  }
}
