import ArgumentParser
import Glibc
import SluiceApplier
import SluiceJournal
import SluiceSQLite
import SluiceShared

/// Whose code a command that reads lets run in its process.
struct ExtensionOptions: ParsableArguments {
  @Flag(help: "Load the store's extensions, whoever their files belong to.")
  var trustExtensions = false

  /// The store's extensions that may run in this process: code of root or of this very user can do
  /// nothing here that it could not do anyway. The others stay away, and `telling` says so where
  /// they are missed.
  func read(_ store: String) throws(StoreError) -> (loaded: [LoadableExtension], left: [String]) {
    let layout = StoreLayout(store)
    let fileSystem = PosixFileSystem()
    let trustsAll = trustExtensions
    var (loaded, left) = StoreExtensions.readable(
      try StoreDescription.read(layout, fileSystem), in: layout,
      mayRun: { owner in trustsAll || owner == 0 || owner == geteuid() })
    if !trustsAll, !left.isEmpty { left.append("--trust-extensions loads other users' too") }
    return (loaded, left)
  }

  /// Does `body`; where it lacks something of SQLite's that an extension may have, `left` tells why.
  static func telling<R>(_ left: [String], _ body: () throws -> R) throws -> R {
    do { return try body() } catch var error as SQLiteError where !left.isEmpty {
      if error.message.contains("no such ") { error.message += "; " + left.joined(separator: "; ") }
      throw error
    }
  }
}
