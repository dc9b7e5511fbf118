import Glibc
import SluiceReader
import SluiceShared

/// The copy that backups of a store are made into, and what was told of it.
struct CopyCheck {
  let path: String
  private let environment: Environment
  /// The last batch that it was told to have.
  private var told = TxID.zero

  init(of store: String, _ environment: Environment) {
    path = Self.path(beside: store)
    self.environment = environment
  }

  static func path(beside store: String) -> String { "\(store)-copy" }

  /// Removes it: the next backup is a first one.
  mutating func begin() {
    remove(path)
    told = .zero
  }

  private func remove(_ path: String) {
    let fileSystem = environment.fileSystem
    guard (try? fileSystem.status(path).kind) == .directory else {
      try? fileSystem.unlink(path)
      return
    }
    for name in (try? fileSystem.list(path)) ?? [] { remove("\(path)/\(name)") }
    rmdir(path)
  }

  mutating func note(_ account: Account) {
    if let copied = account.copied { told = max(told, copied) }
  }

  /// What is wrong with it, whatever has happened: it is no copy yet, or a whole one, and has all that was told.
  func complaints() -> [String] {
    let names = (try? environment.fileSystem.list(path)) ?? []
    guard names.contains("store.json") else {
      return told == .zero ? [] : ["the backup up to batch \(told) was told, and is no store"]
    }
    var complaints: [String] = []
    do throws(StoreError) {
      let summary = try Verification(store: path, environment) {
        complaints.append("the backup is damaged: \($0)")
      }.run()
      if summary.last < told {
        complaints.append(
          "the backup up to batch \(told) was told, and goes to batch \(summary.last)")
      }
    } catch {
      complaints.append("the backup cannot be read: \(error)")
    }
    return complaints
  }
}
