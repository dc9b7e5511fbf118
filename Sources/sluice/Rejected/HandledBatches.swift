import SluiceJournal
import SluiceShared

/// Which rejected batches somebody has seen to, and how: a file in the store for each.
///
/// The rejection itself stays where it is, in the database and in the log. Only who owns the store makes these.
struct HandledBatches {
  enum Deed: Hashable {
    case discarded
    /// Under this key.
    case resubmitted(String)

    var text: String {
      switch self {
      case .discarded: "discarded"
      case .resubmitted(let key): "resubmitted \(key)"
      }
    }

    init?(_ text: String) {
      let prefix = "resubmitted "
      if text == "discarded" {
        self = .discarded
      } else if text.hasPrefix(prefix) {
        self = .resubmitted(String(text.dropFirst(prefix.count)))
      } else {
        return nil
      }
    }
  }

  private let layout: StoreLayout
  private let fileSystem: any FileSystem

  init(_ layout: StoreLayout, _ fileSystem: any FileSystem) {
    self.layout = layout
    self.fileSystem = fileSystem
  }

  private func path(_ txid: TxID) -> String {
    "\(layout.handled)/\(padded(txid.rawValue, width: 16))"
  }

  func all() throws(StoreError) -> Set<TxID> {
    do throws(StoreError) {
      return Set(
        try fileSystem.list(layout.handled).filter { $0.utf8.count == 16 }.compactMap {
          UInt64($0).map { TxID($0) }
        })
    } catch {
      guard error.isNoSuchFile else { throw error }
      return []
    }
  }

  /// nil where nobody has.
  func deed(_ txid: TxID) throws(StoreError) -> Deed? {
    guard try all().contains(txid) else { return nil }
    let bytes = try fileSystem.open(path(txid), .shared).read(Limits.handledBatchBytes, at: 0)
    let line = String(decoding: bytes, as: UTF8.self).prefix { $0 != "\n" }
    // One that died while it wrote it.
    return Deed(String(line)) ?? .discarded
  }

  /// Records it, durably; what was recorded before stays.
  func record(_ deed: Deed, of txid: TxID) throws(StoreError) {
    do throws(StoreError) {
      try fileSystem.makeDirectory(layout.handled, mode: 0o755)
      try fileSystem.giveToOwner(layout.handled)
    } catch {
      guard error.isExistingFile else { throw error }
    }
    let file: any File
    do throws(StoreError) { file = try fileSystem.create(path(txid), mode: 0o644) } catch {
      guard error.isExistingFile else { throw error }
      return
    }
    try file.write(Array("\(deed.text)\n".utf8), at: 0)
    try file.sync()
    try fileSystem.syncDirectory(layout.handled)
    try fileSystem.syncDirectory(layout.root)
  }
}
