internal import CSQLite

/// What SQLite may assume about a function.
package struct FunctionFlags: OptionSet, Sendable {
  package let rawValue: Int32
  package init(rawValue: Int32) { self.rawValue = rawValue }

  /// Same arguments, same result: usable in indexes and factored out of loops.
  package static let deterministic = FunctionFlags(rawValue: SQLITE_DETERMINISTIC)
  /// Not usable in triggers, views and other parts of the schema.
  package static let directOnly = FunctionFlags(rawValue: SQLITE_DIRECTONLY)
  /// Usable in the schema also when the schema is not trusted.
  package static let innocuous = FunctionFlags(rawValue: SQLITE_INNOCUOUS)
}

/// Keeps the closure behind an SQL function; SQLite frees it.
private final class Function {
  let body: (inout FunctionContext) -> Void
  init(_ body: @escaping (inout FunctionContext) -> Void) { self.body = body }
}

extension Connection {
  /// Defines an SQL function, or overrides a built-in one such as `random()`
  /// (`sqlite3_create_function_v2`); `argumentCount` -1 takes any number.
  ///
  /// Throws `SQLITE_BUSY` when it would replace a function while statements are running.
  package func createFunction(
    _ name: String, argumentCount: Int32, flags: FunctionFlags = [],
    _ body: @escaping (inout FunctionContext) -> Void
  ) throws(SQLiteError) {
    // SQLite calls the destructor also when it fails to define the function.
    let function = Unmanaged.passRetained(Function(body)).toOpaque()
    try check(
      sqlite3_create_function_v2(
        handle, name, argumentCount, SQLITE_UTF8 | flags.rawValue, function,
        { call, count, arguments in
          guard let call, let user = sqlite3_user_data(call) else { return }
          var context = FunctionContext(call: call, argumentCount: count, arguments: arguments)
          Unmanaged<Function>.fromOpaque(user).takeUnretainedValue().body(&context)
        }, nil, nil,
        { user in
          guard let user else { return }
          Unmanaged<Function>.fromOpaque(user).release()
        }))
  }
}
