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
      CREATE TABLE p(id INTEGER PRIMARY KEY, n TEXT);
      INSERT INTO p VALUES(1,replace('a\\nb','\\n',char(10)));
      INSERT INTO p VALUES(2,X'00ff');
      CREATE TRIGGER t AFTER INSERT ON p BEGIN SELECT 1; SELECT 2; END;
      DELETE FROM sqlite_sequence;
      COMMIT;

      """
    let statements = [
      "CREATE TABLE p(id INTEGER PRIMARY KEY, n TEXT)",
      "INSERT INTO p VALUES(1,replace('a\\nb','\\n',char(10)))",
      "INSERT INTO p VALUES(2,X'00ff')",
      "CREATE TRIGGER t AFTER INSERT ON p BEGIN SELECT 1; SELECT 2; END",
      "DELETE FROM sqlite_sequence",
    ]
    let batch = Batch(
      statements.map { Batch.Statement($0) }, key: "dump", checksForeignKeysAtEnd: true)
    #expect(try read(dump, key: "dump") == [InputBatch(batch: batch, input: "input", line: 3)])
  }

  @Test(
    "A script without statements is no batch",
    arguments: [
      "", ";;", "-- nothing\n", "/* nothing */", "BEGIN; COMMIT;", "PRAGMA foreign_keys=OFF;",
    ])
  func empty(script: String) throws {
    #expect(try read(script).isEmpty)
    #expect(try read(script, split: 1).isEmpty)
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
      ("PRAGMA foreign_keys=OFF; PRAGMA foreign_keys=1; S", false),
      ("BEGIN; PRAGMA foreign_keys=OFF; S; COMMIT", false), ("S", false),
    ])
  func foreignKeys(script: String, expected: Bool) throws {
    let batches = try read(script)
    #expect(batches.map(\.batch.checksForeignKeysAtEnd) == [expected])
    #expect(batches.first?.batch.statements == [Batch.Statement("S")])
  }

  @Test("Each batch has the foreign keys that hold when it is read")
  func foreignKeysWhenSplit() throws {
    let script = "A; PRAGMA foreign_keys=OFF; B; C; PRAGMA foreign_keys=ON; D;"
    let all = try read(script, split: 1)
    #expect(all.map(\.batch.checksForeignKeysAtEnd) == [false, true, true, false])
    #expect(try read(script).map(\.batch.checksForeignKeysAtEnd) == [true])
  }

  @Test("Settings of a connection are left out, what belongs to the database is not")
  func pragmas() throws {
    let script = """
      PRAGMA journal_mode=WAL; PRAGMA synchronous = OFF; PRAGMA cache_size=-2000;
      PRAGMA main.page_size=4096; PRAGMA encoding="UTF-8"; PRAGMA temp_store(MEMORY);
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
      ("VACUUM", "take out VACUUM"),
      ("ANALYZE sqlite_schema", "`.dump --nosys`"),
      ("PRAGMA writable_schema=ON", "`sluice init --from`"),
      ("pragma main.[writable_schema]", "`sluice init --from`"),
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
      "PRAGMA table_info(t)",
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
    #expect(error?.message.contains("--split N") == true)
    let split = try read(script, split: Limits.statementsPerBatch)
    #expect(split.map(\.batch.statements.count) == [Limits.statementsPerBatch, 1])
  }

  @Test("Too long a text is refused with the way out")
  func textLimit() throws {
    let longest = "SELECT '\(String(repeating: "x", count: Limits.statementTextBytes - 9))'"
    #expect(try texts(longest) == [longest])
    let error = storeError { _ = try read("S;\n\(longest) ,1;") }
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
    #expect(whole?.message.contains("--split N") == true)
    #expect(try read(script, split: 9, limit: 79).count == 2)
    let split = storeError { _ = try read(script, split: 9, limit: 71) }
    #expect(split?.message.contains("smaller batches than with --split 9") == true)
    let endless = storeError { _ = try read("SELECT '\(script)", split: nil, limit: 79) }
    #expect(endless?.code == .limit)
    #expect(endless?.message.contains("missing semicolon or quote") == true)
  }

  @Test("A split that is no size of a batch is refused", arguments: [0, -1, 100_001])
  func impossibleSplit(size: Int) {
    #expect(storeError { _ = try read("S", split: size) }?.code == .invalid)
  }
}
