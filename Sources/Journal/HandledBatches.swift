package import SluiceShared

/// Which rejected batches somebody has seen to, and how: a file in the store for each.
///
///     resubmitted KEY  crc32c 1a2b3c4d
///
/// The checksum is that of the text before the two spaces. Without it a changed bit could make a batch that was
/// resubmitted one that was not, and it would be executed under another key again.
///
/// The rejection itself stays where it is, in the database and in the log. Only who owns the store makes these.
package struct HandledBatches {
  package enum Deed: Hashable, Sendable {
    case discarded
    /// Under this key.
    case resubmitted(String)

    private static let prefix = "resubmitted "
    private static let label = "  crc32c "
    private static let endBytes = label.utf8.count + 8 + 1

    private var text: String {
      switch self {
      case .discarded: "discarded"
      case .resubmitted(let key): "\(Self.prefix)\(key)"
      }
    }

    /// What a file of it holds.
    var bytes: [UInt8] {
      let text = text
      return Array(
        "\(text)\(Self.label)\(hexadecimal(crc32c(Array(text.utf8)), width: 8))\n".utf8)
    }

    /// nil where a file with `bytes` is not as it was written.
    init?(_ bytes: [UInt8]) {
      let text = String(decoding: bytes.dropLast(Self.endBytes), as: UTF8.self)
      if text == Deed.discarded.text {
        self = .discarded
      } else if text.hasPrefix(Self.prefix) {
        self = .resubmitted(String(text.dropFirst(Self.prefix.count)))
      } else {
        return nil
      }
      guard self.bytes == bytes else { return nil }
    }
  }

  private let layout: StoreLayout
  private let fileSystem: any FileSystem

  package init(_ layout: StoreLayout, _ fileSystem: any FileSystem) {
    self.layout = layout
    self.fileSystem = fileSystem
  }

  private func path(_ txid: TxID) -> String {
    "\(layout.handled)/\(padded(txid.rawValue, width: 16))"
  }

  package func all() throws(StoreError) -> Set<TxID> {
    Set(
      try fileSystem.listed(ifThere: layout.handled).filter { $0.utf8.count == 16 }.compactMap {
        UInt64($0).map { TxID($0) }
      })
  }

  /// nil where nobody has. Throws `.damaged` where what is written there is not as it was.
  package func deed(_ txid: TxID) throws(StoreError) -> Deed? {
    guard try all().contains(txid) else { return nil }
    return try read(txid)
  }

  private func read(_ txid: TxID) throws(StoreError) -> Deed? {
    let path = path(txid)
    let bytes = try fileSystem.open(path, .shared).read(Limits.handledBatchBytes, at: 0)
    // Its maker died before it wrote, and so before it submitted anything.
    if bytes.isEmpty { return nil }
    guard let deed = Deed(bytes) else {
      throw StoreError(
        .damaged,
        "what is recorded of the rejected batch \(txid) is damaged: see in `sluice log` whether its statements were submitted again, and remove this file; if they were, `sluice discard` records the batch as done",
        path: path)
    }
    return deed
  }

  /// Reads them all; `onDamage` is told of each that is damaged.
  package func verify(onDamage: (StoreError) -> Void) throws(StoreError) {
    for txid in try all().sorted() {
      do throws(StoreError) { _ = try read(txid) } catch {
        // A person has removed it meanwhile.
        if error.isNoSuchFile { continue }
        guard error.code == .damaged else { throw error }
        onDamage(error)
      }
    }
  }

  /// Records it, durably. What was recorded before stays; but what was discarded may be resubmitted, once.
  package func record(_ deed: Deed, of txid: TxID) throws(StoreError) {
    _ = try fileSystem.makeOwnedDirectory(layout.handled, mode: 0o755)
    let file: any File
    do throws(StoreError) { file = try fileSystem.create(path(txid), mode: 0o644) } catch {
      guard error.isExistingFile else { throw error }
      guard deed != .discarded, try [nil, .discarded].contains(read(txid)) else { return }
      // What it says then is longer than what it said.
      file = try fileSystem.open(path(txid), .write)
    }
    try file.write(deed.bytes, at: 0)
    try file.sync()
    try fileSystem.syncDirectory(layout.handled)
    try fileSystem.syncDirectory(layout.root)
  }
}
