internal import CSQLite

/// What a statement being compiled wants to do. Valid only during the authorizer's call.
package struct Authorization: ~Copyable {
  /// An action code: `SQLITE_INSERT`, `SQLITE_PRAGMA` …; its documentation says what `first` and
  /// `second` are.
  package let action: Int32
  let arguments: (UnsafePointer<CChar>?, UnsafePointer<CChar>?)
  let databaseName: UnsafePointer<CChar>?
  let accessorName: UnsafePointer<CChar>?

  /// Most often the table, index or pragma.
  package var first: String? { arguments.0.map { String(cString: $0) } }
  /// Most often the column, or the function or pragma argument.
  package var second: String? { arguments.1.map { String(cString: $0) } }
  /// "main", "temp" or the name of an attached database.
  package var database: String? { databaseName.map { String(cString: $0) } }
  /// The innermost trigger or view that is the cause; nil for the statement itself.
  package var accessor: String? { accessorName.map { String(cString: $0) } }
}

package enum AuthorizationDecision: Sendable {
  case allow
  /// The statement does not compile: `SQLITE_AUTH`.
  case deny
  /// A column reads as NULL, other actions are left out without an error.
  case ignore
}

/// Keeps the closure that SQLite calls as an authorizer.
final class Authorizer {
  let decide: (borrowing Authorization) -> AuthorizationDecision
  init(_ decide: @escaping (borrowing Authorization) -> AuthorizationDecision) {
    self.decide = decide
  }

  func code(for authorization: borrowing Authorization) -> Int32 {
    switch decide(authorization) {
    case .allow: SQLITE_OK
    case .deny: SQLITE_DENY
    case .ignore: SQLITE_IGNORE
    }
  }
}

extension Connection {
  /// Asks `body` about each thing that a statement would do while it is compiled, also when SQLite
  /// recompiles it later. Nil allows everything (`sqlite3_set_authorizer`).
  ///
  /// Setting it makes SQLite recompile every prepared statement at its next step.
  package func setAuthorizer(_ body: ((borrowing Authorization) -> AuthorizationDecision)?) {
    let authorizer = body.map { Authorizer($0) }
    let context = authorizer.map { Unmanaged.passUnretained($0).toOpaque() }
    sqlite3_set_authorizer(
      handle,
      authorizer == nil
        ? nil
        : { context, action, first, second, database, accessor in
          guard let context else { return SQLITE_DENY }
          let authorizer = Unmanaged<Authorizer>.fromOpaque(context).takeUnretainedValue()
          return authorizer.code(
            for: Authorization(
              action: action, arguments: (first, second), databaseName: database,
              accessorName: accessor))
        }, context)
    self.authorizer = authorizer
  }
}
