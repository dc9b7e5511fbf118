import SluiceJournal
import SluiceShared

/// A batch, and what is known of it beforehand.
struct GeneratedBatch {
  var batch: Batch
  /// It holds something that a batch must not do, and that plain SQLite would do: it must be refused
  /// as denied, and is not executed there.
  var isForbidden = false
  /// It may fail before it is refused.
  var isHostile = false
}

/// Random batches for a database that is known about.
struct BatchGenerator {
  var schema = SchemaView()
  var choose: Chooser
  private var keys: [(String, GeneratedBatch)] = []
  /// Of shadow names: to come next, in this order. They have a chooser of their own, so that what else
  /// comes is the same with them.
  private var waiting: [GeneratedBatch] = []
  private var chooseShadows: Chooser
  private var shadowNumber = 0
  /// So has VACUUM.
  private var chooseCompactions: Chooser
  /// So has JSON.
  private var chooseDocuments: Chooser
  private var documents: [Documents] = []

  init(seed: UInt64) {
    choose = Chooser(seed: seed)
    chooseShadows = Chooser(seed: ~seed)
    chooseCompactions = Chooser(seed: seed.byteSwapped)
    chooseDocuments = Chooser(seed: ~seed.byteSwapped)
  }

  private mutating func compaction() -> GeneratedBatch {
    let sizes = chooseCompactions.chance(0.5) ? [chooseCompactions.one([512, 2048, 8192])] : []
    return GeneratedBatch(
      batch: Batch(sizes.map { .init("PRAGMA page_size = \($0)") } + [.init("VACUUM")]))
  }

  mutating func next() -> GeneratedBatch {
    if let batch = shadows() ?? aboutDocuments() { return batch }
    if chooseCompactions.chance(0.005) { return compaction() }
    // A repeat of a batch with its key, or of its key alone.
    if let (key, earlier) = keys.randomOne(&choose), choose.chance(0.03) {
      if choose.chance(0.5) { return earlier }
      var other = fresh()
      if !other.isForbidden { other.batch.key = key }
      return other
    }
    var generated = fresh()
    if choose.chance(0.08) {
      let key = "key-\(choose.next())"
      generated.batch.key = key
      keys.append((key, generated))
      if keys.count > 50 { keys.removeFirst(25) }
    }
    return generated
  }

  private mutating func shadows() -> GeneratedBatch? {
    if !waiting.isEmpty { return waiting.removeFirst() }
    guard chooseShadows.chance(0.01) else { return nil }
    shadowNumber += 1
    let names = ShadowNames(shadowNumber)
    if chooseShadows.chance(0.5) { return names.hostile(&chooseShadows) }
    waiting = names.plain(&chooseShadows)
    return waiting.removeFirst()
  }

  private mutating func aboutDocuments() -> GeneratedBatch? {
    guard chooseDocuments.chance(0.1) else { return nil }
    if documents.isEmpty || chooseDocuments.chance(0.02) {
      documents.append(Documents(documents.count + 1))
    }
    let number = chooseDocuments.below(documents.count)
    return documents[number].next(&chooseDocuments)
  }

  private mutating func fresh() -> GeneratedBatch {
    if choose.chance(0.01) { return forbidden() }
    if choose.chance(0.02) { return hostile() }
    var statements: [Batch.Statement] = []
    for _ in 0..<choose.weighted([(8, 1), (4, 2), (3, 4), (1, 8)]) {
      statements.append(statement())
    }
    var batch = Batch(statements, wantsResults: choose.chance(0.4))
    if choose.chance(0.1) { batch.guards = [guardQuery()] }
    if choose.chance(0.01) { batch.checksForeignKeysAtEnd = true }
    if choose.chance(0.03) { batch.switches = switches(batch.statements.count) }
    return GeneratedBatch(batch: batch)
  }

  private mutating func switches(_ statements: Int) -> [SettingSwitch] {
    var switches: [SettingSwitch] = []
    for statement in 0..<statements {
      if choose.chance(0.5) {
        let on = choose.chance(0.4)
        switches.append(SettingSwitch(.foreignKeys, on: on, beforeStatement: statement))
      }
      if choose.chance(0.1) {
        let on = choose.chance(0.7)
        switches.append(SettingSwitch(.legacyAlterTable, on: on, beforeStatement: statement))
      }
    }
    return switches
  }

  private mutating func statement() -> Batch.Statement {
    if schema.ordinary.count < 3 || choose.chance(0.12) {
      return .init(Definitions.any(&schema, &choose))
    }
    if choose.chance(0.02) { return broken() }
    if choose.chance(0.02) { return .init("PRAGMA defer_foreign_keys = ON") }
    return Changes.any(schema, &choose)
  }

  /// What does not compile, or is not given its values.
  private mutating func broken() -> Batch.Statement {
    var statement = Changes.any(schema, &choose)
    switch choose.below(7) {
    case 0: statement.sql = String(statement.sql.prefix(choose.below(statement.sql.count + 1)))
    case 1: statement.sql += "; SELECT 1"
    case 2: statement.sql += "; -- nothing more"
    case 3: return .init(choose.one(["", " ", "-- nothing", ";", ";;"]))
    case 4: return .init("SELECT \u{1}")
    case 5: statement.rows = statement.rows.map { $0 + [1] }
    default: return .init("INSERT INTO nowhere VALUES (?)", [1])
    }
    return statement
  }

  private mutating func guardQuery() -> Batch.Statement {
    guard let table = schema.tables.randomOne(&choose) else { return .init("SELECT 1") }
    return choose.weighted([
      (4, .init("SELECT 1")), (2, .init("SELECT count(*) < ? FROM \(table.quoted)", [50])),
      (1, .init("SELECT count(*) = 0 FROM \(table.quoted) WHERE rowid = ?", [3])),
      (1, .init("SELECT 1, 2")), (1, .init("SELECT NULL")), (1, .init("SELECT 'x'")),
      (1, .init("SELECT '0.5'")), (1, .init("SELECT 1 UNION ALL SELECT 1")),
      (1, .init("SELECT 1 WHERE 0")), (1, .init("SELECT 0.0")), (1, .init("SELECT x'31'")),
      (1, .init("DELETE FROM \(table.quoted)")), (1, .init("SELECT nothing")),
    ])
  }

  /// What would hide one of the tables that the batches behind it name, or act in them. Plain SQLite
  /// never sees it, so that a batch behind it which is hurt makes a difference.
  private mutating func hostile() -> GeneratedBatch {
    let table = schema.tables.randomOne(&choose)?.quoted ?? "x"
    let statement = choose.one([
      "CREATE TABLE temp.\(table)(a, b, c)",
      "CREATE TABLE \"TEMP\".\(table)(a INTEGER PRIMARY KEY)",
      "CREATE TABLE temp.\(table) AS SELECT * FROM main.\(table)", "CREATE TEMP TABLE \(table)(a)",
      "CREATE VIEW temp.\(table) AS SELECT 1 AS a", "CREATE TEMP VIEW \(table) AS SELECT 1 AS a",
      "CREATE TRIGGER temp.theft BEFORE INSERT ON main.\(table) BEGIN SELECT RAISE(IGNORE); END",
      "CREATE TEMP TRIGGER theft BEFORE INSERT ON \(table) BEGIN SELECT RAISE(IGNORE); END",
      "CREATE VIRTUAL TABLE temp.\(table) USING fts5(a)", "PRAGMA temp.user_version = 77",
      "PRAGMA temp.application_id = 77",
    ])
    var statements = [Batch.Statement(statement)]
    if choose.chance(0.5) { statements.insert(Changes.any(schema, &choose), at: 0) }
    return GeneratedBatch(batch: Batch(statements), isForbidden: true, isHostile: true)
  }

  private mutating func forbidden() -> GeneratedBatch {
    let statement = choose.one([
      "BEGIN", "COMMIT", "ROLLBACK", "END", "SAVEPOINT batch", "RELEASE batch", "ROLLBACK TO batch",
      "ATTACH ':memory:' AS other", "DETACH main", "VACUUM INTO 'x'", "CREATE TEMP TABLE x(a)",
      "CREATE TEMP VIEW x AS SELECT 1", "PRAGMA foreign_keys = OFF", "PRAGMA journal_mode = WAL",
      "PRAGMA writable_schema = ON", "PRAGMA recursive_triggers = ON",
      "DELETE FROM _sluice_writers", "UPDATE \"_SLUICE_state\" SET txid = 0",
      "DROP TABLE _sluice_keys", "CREATE TABLE _sluice_x(a)", "ALTER TABLE _sluice_state ADD x",
      "CREATE INDEX _sluice_i ON _sluice_state(txid)", "SELECT * FROM sqlite_stmt",
      "SELECT * FROM pragma_database_list", "SELECT load_extension('x')",
      "CREATE TRIGGER _sluice_t AFTER INSERT ON _sluice_state BEGIN SELECT 1; END",
    ])
    var statements = [Batch.Statement(statement)]
    if choose.chance(0.5) { statements.insert(.init("CREATE TABLE leftover(a)"), at: 0) }
    return GeneratedBatch(batch: Batch(statements), isForbidden: true)
  }
}
