import SluiceJournal
import SluiceShared
import Testing

@testable import sluice

@Suite("A script becomes batches")
struct SQLScriptTests {
  private func read(_ text: String, key: String? = nil, split: Int? = nil) throws -> [InputBatch] {
    try batches(try SQLScriptReader(try input(text), key: key, statementsPerBatch: split))
  }

  private func texts(_ script: String) throws -> [String] {
    try read(script).flatMap(\.batch.statements).map(\.sql)
  }

  @Test("A dump is one batch that checks its foreign keys at the end")
  func dump() throws {
    let dump = """
      PRAGMA foreign_keys=OFF;
      BEGIN TRANSACTION;
      CREATE TABLE p(id INTEGER PRIMARY KEY AUTOINCREMENT, n TEXT);
      INSERT INTO p VALUES(1,replace('a\\nb','\\n',char(10)));
      INSERT INTO p VALUES(2,X'00ff');
      CREATE TRIGGER t AFTER INSERT ON p BEGIN SELECT 1; SELECT 2; END;
      DELETE FROM sqlite_sequence;
      COMMIT;

      """
    let statements = [
      "CREATE TABLE p(id INTEGER PRIMARY KEY AUTOINCREMENT, n TEXT)",
      "INSERT INTO p VALUES(1,replace('a\\nb','\\n',char(10)))",
      "INSERT INTO p VALUES(2,X'00ff')",
      "CREATE TRIGGER t AFTER INSERT ON p BEGIN SELECT 1; SELECT 2; END",
      "DELETE FROM sqlite_sequence",
    ]
    let batch = Batch(
      statements.map { Batch.Statement($0) }, key: "dump", checksForeignKeysAtEnd: true)
    #expect(
      try read(dump, key: "dump") == [
        InputBatch(batch: batch, input: "input", line: 3, statementLines: [3, 4, 5, 6, 7])
      ])
  }

  @Test(
    "A script that does nothing is no batch; one without a statement is an error",
    arguments: [
      ("", false), (";;", false), ("-- nothing\n", false), ("/* nothing */", false),
      ("BEGIN; COMMIT;", true), ("PRAGMA foreign_keys=OFF;", true),
      ("CREATE TABLE _sluice_state(a);", true),
    ])
  func empty(script: String, isScript: Bool) throws {
    for split in [nil, 1] {
      if isScript {
        #expect(try read(script, split: split).isEmpty)
      } else {
        let error = storeError { _ = try read(script, split: split) }
        #expect(error?.code == .invalid)
        #expect(error?.message.hasPrefix("input: there is no statement in it") == true)
      }
    }
  }

  @Test("Every N statements are a batch with a key of its own", arguments: 1...4)
  func split(size: Int) throws {
    let script = "BEGIN;\nSELECT 1;\nSELECT 2;\nCOMMIT;\nBEGIN;\nSELECT 3;\nEND;\n"
    let all = try read(script, key: "k", split: size)
    #expect(all.map(\.batch.key) == (1...all.count).map { "k/\($0)" })
    #expect(all.flatMap(\.batch.statements).map(\.sql) == ["SELECT 1", "SELECT 2", "SELECT 3"])
    #expect(all.dropLast().allSatisfy { $0.batch.statements.count == size })
    #expect(all.map(\.line) == Array(stride(from: 0, to: 3, by: size)).map { [2, 3, 6][$0] })
    #expect(try read(script, split: size).allSatisfy { $0.batch.key == nil })
  }

  @Test(
    "Transactions are left out in all their spellings",
    arguments: [
      "BEGIN; S; COMMIT", "begin transaction; S; commit transaction", "BEGIN IMMEDIATE; S; END",
      "BEGIN EXCLUSIVE TRANSACTION; S; END TRANSACTION;", "BEGIN/**/; S; COMMIT -- done",
    ])
  func transactions(script: String) throws {
    #expect(try texts(script) == ["S"])
  }

  @Test(
    "Foreign keys are checked at the end where the script turns them off",
    arguments: [
      ("PRAGMA foreign_keys=OFF; S", true), ("pragma Foreign_Keys = 0; S", true),
      ("PRAGMA main.foreign_keys(no); S", true), ("PRAGMA \"foreign_keys\" = 'off'; S", true),
      ("PRAGMA/* a */foreign_keys -- b\n = false; S", true), ("PRAGMA foreign_keys=ON; S", false),
      ("PRAGMA foreign_keys; S", false),
      ("PRAGMA foreign_keys=maybe; S", true), ("PRAGMA foreign_keys=256; S", true),
      ("PRAGMA foreign_keys=-1; S", true), ("PRAGMA foreign_keys=+1; S", false),
      ("PRAGMA foreign_keys=OFF; PRAGMA foreign_keys=1; S", false),
      ("BEGIN; PRAGMA foreign_keys=OFF; S; COMMIT", false), ("S", false),
    ])
  func foreignKeys(script: String, expected: Bool) throws {
    let batches = try read(script)
    #expect(batches.map(\.batch.checksForeignKeysAtEnd) == [expected])
    #expect(batches.first?.batch.statements == [Batch.Statement("S")])
  }

  private let off = SettingSwitch(.foreignKeys, on: false, beforeStatement: 0)

  @Test("Each statement has the foreign keys that hold where it stands")
  func foreignKeysOfAStatement() throws {
    let script = "A; PRAGMA foreign_keys=OFF; B; C; PRAGMA foreign_keys=ON; D;"
    let whole = try #require(try read(script).first?.batch)
    #expect(!whole.checksForeignKeysAtEnd && whole.foreignKeyCheck == .whereOff)
    #expect(
      whole.switches == [
        SettingSwitch(.foreignKeys, on: false, beforeStatement: 1),
        SettingSwitch(.foreignKeys, on: true, beforeStatement: 3),
      ])
    let all = try read(script, split: 1).map(\.batch)
    #expect(all.map(\.switches) == [[], [off], [off], []])
    #expect(all.map(\.foreignKeyCheck) == [.whereOff, .byLaterBatch, .byLaterBatch, .all])
  }

  @Test("The last piece of a dump judges the foreign keys of all", arguments: 1...4)
  func lastPiece(size: Int) throws {
    let script = "PRAGMA foreign_keys=OFF; BEGIN; A; B; C; COMMIT;"
    let all = try read(script, split: size).map(\.batch)
    if size >= 3 {
      #expect(all.count == 1 && all[0].checksForeignKeysAtEnd && all[0].switches.isEmpty)
    } else {
      #expect(all.allSatisfy { $0.switches == [off] && !$0.checksForeignKeysAtEnd })
      #expect(all.dropLast().allSatisfy { $0.foreignKeyCheck == .byLaterBatch })
      #expect(all.last?.foreignKeyCheck == .all)
    }
  }

  @Test("Foreign keys are deferred until COMMIT, in each piece up to there")
  func deferred() throws {
    let (on, end) = ("PRAGMA defer_foreign_keys=ON", "PRAGMA defer_foreign_keys=OFF")
    let script = "BEGIN; \(on); A; B; COMMIT; C;"
    #expect(try texts(script) == [on, "A", "B", end, "C"])
    let pieces = try read(script, split: 2).map { $0.batch.statements.map(\.sql) }
    #expect(pieces == [[on, "A"], [on, "B"], [on, end], ["C"]])
    #expect(try texts("\(on); A; \(end); B") == [on, "A", end, "B"])
  }

  @Test("Tables are altered as of old from where the script says so")
  func legacyAlterTable() throws {
    let script =
      "PRAGMA foreign_keys=OFF; PRAGMA legacy_alter_table=ON; A; PRAGMA legacy_alter_table=0; B"
    let batch = try #require(try read(script).first?.batch)
    #expect(
      batch.switches == [
        off, SettingSwitch(.legacyAlterTable, on: true, beforeStatement: 0),
        SettingSwitch(.legacyAlterTable, on: false, beforeStatement: 1),
      ])
    #expect(throws: Never.self) { try batch.encoded() }
  }

  @Test("Planner statistics and Sluice's own tables are left out with a note")
  func leftOut() throws {
    let script = """
      PRAGMA foreign_keys=OFF;
      CREATE TABLE t(a INTEGER PRIMARY KEY autoincrement);
      CREATE TABLE _sluice_state(
        id);
      INSERT INTO _sluice_state VALUES(1,2);
      ANALYZE sqlite_schema;
      INSERT INTO sqlite_stat1 VALUES('t',NULL,'1');
      INSERT INTO "sqlite_stat4" VALUES('t');
      DELETE FROM sqlite_sequence;
      INSERT INTO sqlite_sequence VALUES('t',7);
      CREATE INDEX IF NOT EXISTS "_sluice_keys_time" ON _sluice_keys(time);
      """
    let all = try read(script)
    #expect(
      all.flatMap(\.batch.statements).map(\.sql) == [
        "CREATE TABLE t(a INTEGER PRIMARY KEY autoincrement)", "DELETE FROM sqlite_sequence",
        "INSERT INTO sqlite_sequence VALUES('t',7)", "ANALYZE",
      ])
    #expect(all[0].notes.count == 2)
    #expect(all[0].notes[0].contains("(3 statements left out); ANALYZE"))
    #expect(all[0].notes[1].contains("3 statements about tables of Sluice's own"))
    #expect(try read(script, split: 1).map(\.notes.count) == [0, 0, 0, 2])
  }

  @Test("Settings of a connection are left out, what belongs to the database is not")
  func pragmas() throws {
    let script = """
      PRAGMA journal_mode=WAL; PRAGMA synchronous = OFF; PRAGMA cache_size=-2000;
      PRAGMA main.page_size=4096; PRAGMA encoding="UTF-8"; PRAGMA temp_store(MEMORY);
      PRAGMA foreign_key_check; PRAGMA foreign_key_check("shelf"); PRAGMA integrity_check(1);
      PRAGMA table_info(t); PRAGMA trusted_schema=ON; PRAGMA nobody_knows_this = 1;
      PRAGMA user_version; PRAGMA foreign_keys; PRAGMA recursive_triggers; PRAGMA main.query_only;
      PRAGMA schema_version; PRAGMA case_sensitive_like; PRAGMA legacy_alter_table;
      PRAGMA writable_schema; PRAGMA writable_schema=ON; pragma main.[writable_schema] = 1;
      PRAGMA user_version=7; PRAGMA application_id = 1; PRAGMA recursive_triggers=ON
      """
    #expect(
      try texts(script) == [
        "PRAGMA user_version=7", "PRAGMA application_id = 1", "PRAGMA recursive_triggers=ON",
      ])
  }

  @Test(
    "What cannot be done is refused with its line",
    arguments: [
      ("ROLLBACK", "take out what it undoes"),
      ("ROLLBACK TO s", "take out what it undoes"),
      ("SAVEPOINT s", "take out SAVEPOINT"),
      ("release s", "take out SAVEPOINT"),
      ("ATTACH 'x.db' AS x", "take out ATTACH"),
      ("detach x", "take out ATTACH"),
      ("VACUUM", "`sluice compact`"),
      ("UPDATE sqlite_schema SET sql = NULL", "`sluice init --from`"),
      ("delete from [sqlite_master]", "`sluice init --from`"),
      ("INSERT INTO sqlite_schema VALUES(1)", "`sluice init --from`"),
      (".open x.db\nSELECT 1", ".open is a command of the sqlite3 shell"),
      ("COMMIT", "no transaction is open"),
      ("BEGIN; BEGIN", "a transaction is open since line 3"),
      ("BEGIN; SELECT 1", "ends within the transaction"),
    ])
  func refused(statement: String, expected: String) {
    for split in [nil, 5] {
      let error = storeError { _ = try read("SELECT 1;\n-- comment\n\(statement);", split: split) }
      #expect(error?.code == .invalid)
      #expect(error?.message.hasPrefix("input, line 3: ") == true, "\(error?.message ?? "none")")
      #expect(error?.message.contains(expected) == true, "\(error?.message ?? "none")")
    }
  }

  @Test(
    "Words that only look like refused ones are statements",
    arguments: [
      "ANALYZE", "ANALYZE t", "BEGINNING", "INSERT INTO rollback VALUES (1)",
      "\"begin\"x",
    ])
  func notRefused(statement: String) throws {
    // A name in quotes is no keyword, and begins no statement: SQLite will say so.
    #expect(try texts(statement) == [statement])
  }

  @Test(
    "A script that breaks off is not taken for a whole one",
    arguments: [
      "SELECT 'a", "SELECT \"a", "SELECT 1; /* a",
    ])
  func brokenOff(script: String) {
    let error = storeError { _ = try read("\n\(script)") }
    #expect(error?.code == .invalid)
    #expect(error?.message.contains("line 2") == true)
  }

  @Test("Text that SQLite would cut or cannot read is refused")
  func unreadableText() throws {
    let nul = storeError { _ = try read("SELECT 1;\nSELECT '\0';") }
    #expect(nul?.message.hasPrefix("input, line 2: the SQL text has a NUL") == true)
    let notUnicode = storeError {
      _ = try batches(try SQLScriptReader(try input(Array("\nSELECT '".utf8) + [0xFF, 0x27])))
    }
    #expect(notUnicode?.code == .invalid)
    #expect(notUnicode?.message.contains("line 2 is not UTF-8") == true)
  }

  @Test("Too many statements for a batch are refused with the way out")
  func statementLimit() throws {
    let script = String(repeating: "S;\n", count: Limits.statementsPerBatch + 1)
    let error = storeError { _ = try read(script) }
    #expect(error?.code == .limit)
    #expect(error?.message.hasPrefix("input, line 100001: ") == true)
    #expect(
      error?.message.contains("`sluice submit STORE --sql FILE --split 10000 --id KEY`") == true)
    let split = try read(script, split: Limits.statementsPerBatch)
    #expect(split.map(\.batch.statements.count) == [Limits.statementsPerBatch, 1])
  }

  @Test("The long values of a text that is too long are parameters")
  func longValues() throws {
    let long = String(repeating: "x", count: Limits.statementTextBytes)
    let longest = "SELECT '\(long.dropLast(9))'"
    #expect(try texts(longest) == [longest])
    let hex = String(repeating: "00Ff", count: Limits.statementTextBytes / 4)
    let script = """
      S;
      INSERT -- it's '
      INTO "t'" VALUES (1, 'é''''\(long)''', x'\(hex)', 'short''s', /* ' */ X'', [']) ;
      """
    let statements = try read(script)[0].batch.statements
    #expect(
      statements[1].sql
        == "INSERT -- it's '\nINTO \"t'\" VALUES (1, ?1, ?2, 'short''s', /* ' */ X'', ['])")
    let blob = (0..<Limits.statementTextBytes / 2).map { UInt8($0 % 2 == 0 ? 0 : 255) }
    #expect(statements[1].rows == [[.text("é''\(long)'"), .blob(blob)]])
  }

  /// What a blob's digits take is nobody's limit.
  @Test("The values of a batch are counted, and not how they are written")
  func valueBytes() throws {
    func read(_ script: String, split: Int?, limit: Int) throws -> [InputBatch] {
      try batches(
        try SQLScriptReader(
          try input(script), statementsPerBatch: split, batchBytesLimit: limit))
    }
    let megabyte = 1 << 20
    let hex = String(repeating: "00FF", count: 2 * megabyte)
    let blob = (0..<4 * megabyte).map { UInt8($0 % 2 == 0 ? 0 : 255) }
    let text = String(repeating: "it''s é, ", count: 200_000)
    let script =
      "INSERT INTO t VALUES (x'\(hex)', '\(text)');\nINSERT INTO t VALUES (x'\(hex)');"
    let limit = 8 * megabyte + 200_000 * 9 + 1000
    let statements = try read(script, split: nil, limit: limit)[0].batch.statements
    #expect(
      statements.map(\.sql) == ["INSERT INTO t VALUES (?1, ?2)", "INSERT INTO t VALUES (?1)"])
    let meant = String(repeating: "it's é, ", count: 200_000)
    #expect(statements[0].rows == [[.blob(blob), .text(meant)]])
    #expect(statements[1].rows == [[.blob(blob)]])
    let whole = storeError { _ = try read(script, split: nil, limit: 7 * megabyte) }
    #expect(whole?.code == .limit)
    #expect(whole?.message.contains("line 2: a batch has at most") == true)
    #expect(try read(script, split: 9, limit: limit).count == 1)
    #expect(try read(script, split: 9, limit: 7 * megabyte).count == 2)
    // One that is too large is not read to its end.
    let single = storeError { _ = try read("S;\n\(script)", split: nil, limit: 3 * megabyte) }
    #expect(single?.code == .limit)
    #expect(
      single?.message.contains(
        "the texts and blobs of one statement, which begins behind line 1, have more than 3145728 bytes"
      ) == true)
  }

  @Test(
    "Too long a text without such values is refused with the way out",
    arguments: [
      "SELECT \(String(repeating: "1,", count: Limits.statementTextBytes / 2))1",
      "CREATE VIEW v AS SELECT '\(String(repeating: "x", count: Limits.statementTextBytes))'",
    ])
  func textLimit(statement: String) {
    let error = storeError { _ = try read("S;\n\(statement);") }
    #expect(error?.code == .limit)
    #expect(error?.message.hasPrefix("input, line 2: an SQL text has at most") == true)
  }

  @Test("Too many bytes for a batch are refused with the way out")
  func byteLimit() throws {
    let script = String(repeating: "SELECT 1;\n", count: 10)
    func read(_ script: String, split: Int?, limit: Int) throws -> [InputBatch] {
      try batches(
        try SQLScriptReader(
          try input(script), statementsPerBatch: split, batchBytesLimit: limit))
    }
    #expect(try read(script, split: nil, limit: 80).count == 1)
    let whole = storeError { _ = try read(script, split: nil, limit: 79) }
    #expect(whole?.code == .limit)
    #expect(whole?.message.hasPrefix("input, line 10: ") == true)
    #expect(whole?.message.contains("--split 10000") == true)
    #expect(try read(script, split: 9, limit: 79).map(\.batch.statements.count) == [9, 1])
    // A piece ends before it is too large.
    #expect(try read(script, split: 9, limit: 71).map(\.batch.statements.count) == [8, 2])
    let endless = storeError { _ = try read("SELECT '\(script)\(script)", split: nil, limit: 79) }
    #expect(endless?.code == .limit)
    #expect(endless?.message.contains("missing semicolon or quote") == true)
  }

  @Test("A split that is no size of a batch is refused", arguments: [0, -1, 100_001])
  func impossibleSplit(size: Int) {
    #expect(storeError { _ = try read("S", split: size) }?.code == .invalid)
  }
}
