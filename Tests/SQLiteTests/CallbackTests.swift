import CSQLite
import SluiceSQLite
import SluiceShared
import Testing

@Suite struct CallbackTests {
  @Test func theProgressHandlerInterrupts() throws {
    let connection = try memory()
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    var calls = 0
    connection.setProgressHandler(every: 1000) {
      calls += 1
      return calls == 5
    }
    #expect(failure { try connection.execute(endless) }?.primary == SQLITE_INTERRUPT)
    #expect(calls == 5)
    connection.setProgressHandler(every: 1000, nil)
    #expect(try connection.query(endless + " LIMIT 10000").count == 10_000)
    #expect(calls == 5)
  }

  @Test func interruptStopsWhatIsRunning() throws {
    let connection = try memory()
    let statement = try connection.prepare("VALUES (1), (2)")
    #expect(try statement.step())
    connection.interrupt()
    #expect(failure { _ = try statement.step() }?.primary == SQLITE_INTERRUPT)
  }

  @Test func theAuthorizerDenies() throws {
    let connection = try memory(
      """
      CREATE TABLE t(a, secret); INSERT INTO t VALUES (1, 2); CREATE TABLE audit(a);
      CREATE TRIGGER keep AFTER INSERT ON t BEGIN INSERT INTO audit VALUES (new.a); END;
      """)
    var seen: [String] = []
    connection.setAuthorizer { authorization in
      switch authorization.action {
      case SQLITE_READ where authorization.second == "secret": return .ignore
      case SQLITE_PRAGMA: return .deny
      case SQLITE_INSERT:
        seen.append(
          "\(authorization.first ?? "") \(authorization.database ?? "") "
            + "\(authorization.accessor ?? "-")")
        return .allow
      default: return .allow
      }
    }
    let denied = failure { try connection.execute("PRAGMA user_version") }
    #expect(denied?.primary == SQLITE_AUTH)
    #expect(denied?.message == "not authorized")
    #expect(try connection.query("SELECT a, secret FROM t") == [[1, .null]])
    try connection.execute("INSERT INTO t VALUES (3, 4)")
    #expect(seen == ["t main -", "audit main keep"])
    connection.setAuthorizer(nil)
    try connection.execute("PRAGMA user_version")
  }

  @Test func anAuthorizerThatDeniesAllStopsAPreparedStatement() throws {
    let connection = try memory("CREATE TABLE t(a)")
    let statement = try connection.prepare("SELECT a FROM t")
    connection.setAuthorizer { _ in .deny }
    #expect(failure { try statement.run() }?.primary == SQLITE_AUTH)
  }

  @Test func randomCanBeOverridden() throws {
    let connection = try memory("CREATE TABLE t(a DEFAULT (random()), b)")
    var state: Int64 = 41
    try connection.createFunction("random", argumentCount: 0) { context in
      state += 1
      context.setResult(integer: state)
    }
    try connection.createFunction("randomblob", argumentCount: 1) { context in
      context.setResult(.blob([UInt8](repeating: 7, count: Int(context.integer(0)))))
    }
    try connection.execute("INSERT INTO t(b) VALUES (randomblob(2))")
    #expect(try connection.query("SELECT a, b, random() FROM t") == [[42, .blob([7, 7]), 43]])
  }

  @Test(arguments: StatementTests.values) func functionsPassValues(_ value: SQLValue) throws {
    let connection = try memory()
    try connection.createFunction("same", argumentCount: -1, flags: .deterministic) { context in
      context.setResult(context.value(context.argumentCount - 1))
    }
    #expect(try connection.query("SELECT same(1, ?)", [value]) == [[value]])
  }

  @Test func aFunctionMayFailOrReturnNothing() throws {
    let connection = try memory()
    try connection.createFunction("positive", argumentCount: 1) { context in
      if !context.isNull(0), context.integer(0) <= 0 { context.fail("not positive") }
    }
    #expect(failure { try connection.execute("SELECT positive(0)") }?.message == "not positive")
    #expect(try connection.scalar("SELECT positive(NULL)") == .null)
  }

  @Test func closuresAreFreed() throws {
    final class Token {}
    weak var weakly: Token?
    do {
      let connection = try memory()
      let token = Token()
      weakly = token
      try connection.createFunction("f", argumentCount: 0) { _ in _ = token }
      _ = failure { try connection.createFunction("f", argumentCount: 1000) { _ in _ = token } }
      connection.setProgressHandler(every: 1) { [token] in token !== weakly }
      connection.setAuthorizer { [token] _ in token === weakly ? .allow : .deny }
      try connection.execute("SELECT f()")
      #expect(weakly != nil)
    }
    #expect(weakly == nil)
  }
}
