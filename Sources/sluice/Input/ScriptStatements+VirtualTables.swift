import SluiceSQLite
import SluiceShared

/// Virtual tables in a dump that the sqlite3 shell wrote: made where they stand, and filled at the script's end, when
/// the tables are there that an index is made of.
extension ScriptStatements {
  /// How `.dump` writes one, up to its values.
  private static let beginnings = ["schema", "master"].map {
    "INSERT INTO sqlite_\($0)(type,name,tbl_name,rootpage,sql)VALUES("
  }

  /// Makes a virtual table, in the store too.
  mutating func virtualTable(_ statement: ScriptStatement) throws(StoreError) -> Entry {
    guard statement.folded.isEmpty,
      let beginning = Self.beginnings.first(where: statement.text.hasPrefix),
      statement.text.hasSuffix(")")
    else { throw error(statement, ScriptDirective.writesSchema) }
    if virtualTables == nil {
      let made = try ScratchVirtualTables()
      for table in tables { made.note(table: table) }
      tables = []
      virtualTables = made
    }
    let values = statement.text.dropFirst(beginning.count).dropLast()
    guard let made = virtualTables?.virtualTable(from: values) else {
      throw error(statement, ScriptDirective.writesSchema)
    }
    do throws(SQLiteError) { try virtualTables?.make(made.name, made.sql) } catch {
      throw self.error(
        statement,
        "table \(made.name) cannot be made here (\(error.message)): \(ScriptDirective.writesSchema)"
      )
    }
    virtualTableLine = statement.line
    return entry(made.sql, statement.line)
  }

  /// The entry of an ordinary statement; nil where it is about what a virtual table keeps its content in.
  mutating func keptApart(_ statement: ScriptStatement) throws(StoreError) -> Entry? {
    guard let virtualTables else {
      if ScriptStatements.makesTable(statement.text) { tables.append(statement.text) }
      return execute(statement)
    }
    let (isRow, isOwn) = virtualTables.isOwn(statement.text)
    guard isOwn else {
      if ScriptStatements.makesTable(statement.text) { virtualTables.note(table: statement.text) }
      return execute(statement)
    }
    guard isRow else { return nil }
    var row = entry(statement.text, statement.line)
    row.folded = statement.folded
    let executed = try row.statement(input: name)
    do throws(SQLiteError) { try virtualTables.execute(executed) } catch {
      throw self.error(statement, error.message)
    }
    return nil
  }

  private static func makesTable(_ statement: String) -> Bool {
    var tokens = LeadingTokens(statement)
    return tokens.keyword() == "create" && tokens.keyword() == "table"
  }

  /// At the end of the script: goes on with what fills its virtual tables; false where it has none.
  mutating func fillsVirtualTables() throws(StoreError) -> Bool {
    guard let filled = virtualTables else { return false }
    virtualTables = nil
    let file: InputFile
    do {
      guard let script = try filled.script(named: name) else {
        throw StoreError(
          input: name, line: virtualTableLine ?? lastLine, ScriptDirective.writesSchema)
      }
      file = script
    } catch let error as StoreError {
      throw error
    } catch {
      let why = (error as? SQLiteError).map { ": \($0)" } ?? ""
      throw StoreError(
        input: name, line: virtualTableLine ?? lastLine,
        "what the dump has of a virtual table cannot be read\(why)")
    }
    goOn(with: file)
    return true
  }
}
