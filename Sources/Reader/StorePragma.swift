internal import CSQLite
internal import SluiceShared
internal import SluiceVFS

/// Why a PRAGMA failed: SQLite's code, and the text of the error.
package struct PragmaFailure: Error {
  package let code: Int32
  package let message: String

  package init(_ code: Int32, _ message: String) {
    self.code = code
    self.message = message
  }
}

/// `PRAGMA sluice_NAME`, `PRAGMA sluice_NAME = ARGUMENT` or `PRAGMA sluice_NAME(ARGUMENT)` on a connection to a
/// store.
///
/// PRAGMAs reach the file system of the database that they are for, with nothing registered anywhere; SQL
/// functions would have to be on each connection. SQLite runs one while it **compiles** the statement, and
/// again for each execution after the first. The answer is its one row and the name of its column, so there is always
/// one.
package struct StorePragma {
  /// In lower case, without `sluice_`.
  package let name: String
  package let argument: String?

  private static let prefix = "sluice_"

  /// Answers `SQLITE_FCNTL_PRAGMA`: `texts` are the result, the name and the argument.
  static func run(
    _ texts: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>, on file: SnapshotFile,
    _ host: (any ReadVFSHost)?
  ) -> Int32 {
    guard let name = texts[1].map({ String(cString: $0).lowercased() }), name.hasPrefix(prefix)
    else { return SQLITE_NOTFOUND }
    do throws(PragmaFailure) {
      var argument: String?
      if let bytes = texts[2] {
        guard let text = String(validatingCString: bytes) else {
          throw PragmaFailure(SQLITE_ERROR, "\(name): the argument is no UTF-8")
        }
        argument = text
      }
      let pragma = StorePragma(name: String(name.dropFirst(prefix.count)), argument: argument)
      texts[0] = file.calls.allocated(try pragma.answer(on: file, host))
      return SQLITE_OK
    } catch {
      texts[0] = file.calls.allocated(error.message)
      return error.code
    }
  }

  private func answer(on file: SnapshotFile, _ host: (any ReadVFSHost)?) throws(PragmaFailure)
    -> String
  {
    switch name {
    case "txid": return file.seen.description
    case "error": return file.takeLastError()?.description ?? ""
    default:
      guard let host else { throw unknown() }
      return try host.answer(self, on: file)
    }
  }

  /// SQLite passes over a PRAGMA that nobody knows, and so over a misspelled one.
  package func unknown(_ others: [String] = []) -> PragmaFailure {
    let known = (["txid", "error"] + others).map { Self.prefix + $0 }.joined(separator: ", ")
    return PragmaFailure(
      SQLITE_ERROR, "there is no PRAGMA \(Self.prefix)\(name); there are \(known)")
  }
}
