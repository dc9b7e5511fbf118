import SluiceSQLite
import Testing

func memory(_ schema: String = "") throws -> Connection {
  let connection = try Connection(path: ":memory:", flags: [.readWrite, .create, .noMutex])
  try connection.execute(schema)
  return connection
}

/// The error that `body` throws; its absence is recorded.
func failure(_ body: () throws -> Void) -> SQLiteError? {
  #expect(throws: SQLiteError.self, performing: body)
}
