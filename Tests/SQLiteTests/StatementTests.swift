import CSQLite
import SluiceSQLite
import SluiceShared
import Testing

@Suite struct StatementTests {
  static let values: [SQLValue] = [
    .null, 0, .integer(.min), .integer(.max), 1.0, -0.5, .real(.infinity), "", "é😀", "a\0b", "\0",
    .blob([]), .blob([0]), .blob([1, 0, 255]),
  ]

  @Test(arguments: values) func valuesSurvive(_ value: SQLValue) throws {
    let connection = try memory("CREATE TABLE t(a)")
    let insert = try connection.prepare("INSERT INTO t VALUES (?)")
    try insert.bind(value, at: 1)
    try insert.run()
    #expect(try connection.query("SELECT a FROM t") == [[value]])
  }

  @Test func aNULStaysInTheText() throws {
    let connection = try memory()
    let statement = try connection.prepare("SELECT ?1, length(CAST(?1 AS BLOB)), typeof(?1)")
    let text: [UInt8] = [0x61, 0, 0x62]
    try text.withUnsafeBytes { bytes in
      for lifetime in [BindingLifetime.copied, .borrowed] {
        try statement.bind(text: bytes, at: 1, lifetime: lifetime)
        #expect(try statement.step())
        #expect(statement.columnTextBytes(0).map(Array.init) == text)
        #expect(statement.columnText(0) == "a\0b")
        #expect(statement.columnInteger(1) == 3)
        #expect(statement.columnText(2) == "text")
        statement.reset()
      }
    }
  }

  @Test func emptyIsNotNull() throws {
    let statement = try memory().prepare("SELECT ?1, ?2, ?3")
    let empty = UnsafeRawBufferPointer(start: nil, count: 0)
    try statement.bind(blob: empty, at: 1)
    try statement.bind(text: empty, at: 2)
    #expect(try statement.step())
    #expect((0..<3).map(statement.columnType) == [.blob, .text, .null])
    #expect(statement.columnBlob(0)?.isEmpty == true)
    #expect(statement.columnTextBytes(1)?.isEmpty == true)
    #expect(statement.columnBlob(2) == nil)
    #expect(statement.columnText(2) == nil)
  }

  @Test func copiedBytesMayGoAway() throws {
    let statement = try memory().prepare("SELECT ?1, ?2")
    var bytes: [UInt8] = [0x61, 0x62]
    try bytes.withUnsafeBytes {
      try statement.bind(blob: $0, at: 1)
      try statement.bind(text: $0, at: 2)
    }
    bytes.withUnsafeMutableBytes { $0.copyBytes(from: [0x7A, 0x7A]) }
    #expect(try statement.step())
    #expect(statement.row == [.blob([0x61, 0x62]), "ab"])
  }

  @Test func bytesThatAreNoUTF8AreKeptAsBytes() throws {
    let statement = try memory().prepare("SELECT CAST(x'61ff' AS TEXT)")
    #expect(try statement.step())
    #expect(statement.columnTextBytes(0).map(Array.init) == [0x61, 0xFF])
    #expect(statement.columnText(0) == "a\u{FFFD}")
  }

  @Test func bindingsStayUntilCleared() throws {
    let statement = try memory().prepare("SELECT ?, ?")
    try statement.bind([1, "x"])
    #expect(try statement.step())
    #expect(failure { try statement.bindNull(at: 1) }?.primary == SQLITE_MISUSE)
    #expect(try !statement.step())
    statement.reset()
    #expect(try statement.step())
    #expect(statement.row == [1, "x"])
    statement.reset()
    statement.clearBindings()
    #expect(try statement.step())
    #expect(statement.row == [.null, .null])
    statement.reset()
    #expect(failure { try statement.bind(integer: 1, at: 3) }?.primary == SQLITE_RANGE)
  }

  @Test func describesItself() throws {
    let connection = try memory("CREATE TABLE t(a)")
    let select = try connection.prepare("SELECT a, 1 AS one FROM t WHERE a IN (:x, ?, @y)")
    #expect(select.parameterCount == 3)
    #expect((1...3).map(select.parameterName) == [":x", nil, "@y"])
    #expect((0..<select.columnCount).map(select.columnName) == ["a", "one"])
    #expect(select.isReadOnly && !select.isExplain)
    let insert = try connection.prepare("INSERT INTO t VALUES (1)")
    #expect(!insert.isReadOnly && insert.columnCount == 0)
    #expect(try connection.prepare("EXPLAIN QUERY PLAN DELETE FROM t").isExplain)
  }

  @Test func afterAnErrorTheSavepointCanBeReleased() throws {
    let connection = try memory("CREATE TABLE t(a CHECK (a > 0)); SAVEPOINT s")
    let insert = try connection.prepare("INSERT INTO t VALUES (?) RETURNING a")
    try insert.bind(integer: 0, at: 1)
    #expect(failure { _ = try insert.step() }?.name == "SQLITE_CONSTRAINT_CHECK")
    try insert.bind(integer: 1, at: 1)
    try insert.run()
    try connection.execute("RELEASE s")
  }

  @Test func countsItsSteps() throws {
    let statement = try memory().prepare("VALUES (1), (2), (3)")
    try statement.run()
    #expect(statement.status(SQLITE_STMTSTATUS_VM_STEP, reset: true) > 3)
    #expect(statement.status(SQLITE_STMTSTATUS_VM_STEP) == 0)
  }

  @Test func aCacheCanKeepStatements() throws {
    let connection = try memory()
    var cache: [String: Statement] = [:]
    for _ in 0..<2 {
      let sql = "SELECT 1"
      let statement = try cache[sql] ?? connection.prepare(sql, persistent: true)
      cache[sql] = statement
      try statement.run()
    }
    #expect(cache.count == 1)
  }
}
